/** Core: the transcript: runs (one for each recording) of segments, and its exports as text and subtitles. */

const CUE_CHARACTERS = 84; // two subtitle lines
const CUE_S = 6;

/**
 * Tails and words begin with their own space: texts are joined by plain concatenation.
 *
 * @typedef {{key: string, part: number, committed: string, tail: string, start: number, end: number, isFinal: boolean,
 *   hidden: boolean, words: {word: string, start: number, end: number}[]}} Segment times in seconds of its run
 * @typedef {{startedAt: Date, offsetS: number, durationS: number, isOver: boolean, segments: Map<string, Segment>}} Run
 */

export class Transcript {
  /** @type {Run[]} */
  runs = [];

  get isEmpty() {
    return this.#visible().length === 0;
  }

  /** Add the run of a new recording. */
  beginRun(startedAt) {
    const previous = this.runs.at(-1);
    const offsetS = previous === undefined ? 0 : previous.offsetS + previous.durationS;
    this.runs.push({ startedAt, offsetS, durationS: 0, isOver: false, segments: new Map() });
  }

  /** @param {number} durationS of the current recording so far */
  setDuration(durationS) {
    this.runs.at(-1).durationS = durationS;
  }

  /**
   * End the current run. After a regular end every segment has become final, and a tail that is left was withdrawn.
   * After an interruption the tail is the best guess of the last words, and stays.
   * @returns {Segment[]} the segments that changed
   */
  endRun({ finished }) {
    const run = this.runs.at(-1);
    run.isOver = true;
    const open = finished ? [...run.segments.values()].filter(({ isFinal }) => !isFinal) : [];
    open.forEach((segment) => {
      segment.tail = "";
    });
    return open;
  }

  /**
   * Apply a `partial` or `final` message of the current recording.
   * @returns {Segment[]} the segments that changed
   */
  apply(message) {
    const { segments } = this.runs.at(-1);
    const { part = 0 } = message;
    const key = `${part}.${message.segment}`;
    const existing = segments.get(key);
    if (existing?.isFinal) {
      return []; // a final never changes, but may be sent again after a reconnection
    }
    const isFinal = message.type === "final";
    const segment = existing ?? { key, part, hidden: false };
    Object.assign(segment, {
      committed: isFinal ? message.text : message.committed,
      tail: isFinal ? "" : message.tail,
      start: message.start,
      end: message.end,
      words: message.words ?? [],
      isFinal,
    });
    segments.set(key, segment);
    return [...(isShown(segment) ? this.#supersede(part) : []), segment];
  }

  /** Empty the unfinished segments of earlier parts: a restarted server transcribes that audio again in a later part. */
  #supersede(part) {
    const superseded = [...this.runs.at(-1).segments.values()].filter((each) => each.part < part && !each.isFinal);
    superseded.forEach((segment) => Object.assign(segment, { committed: "", tail: "", isFinal: true }));
    return superseded;
  }

  /** Hide everything but the segment being spoken; `restore` shows it again, `purge` deletes it. */
  clear() {
    this.#all().forEach(({ run, segment }) => {
      segment.hidden ||= segment.isFinal || run.isOver;
    });
  }

  restore() {
    this.#all().forEach(({ segment }) => {
      segment.hidden = false;
    });
  }

  purge() {
    for (const { segments } of this.runs) {
      for (const segment of [...segments.values()].filter(({ hidden }) => hidden)) {
        segments.set(segment.key, { ...segment, committed: "", tail: "", words: [] });
      }
    }
  }

  /**
   * Return every run with its visible segments, as plain values for `restoreRun`.
   * @param {{isRecording: boolean, withTimes: boolean}} options isRecording: keep the last run even if it is empty;
   *   withTimes: with each word's times, which only subtitles need
   */
  snapshot({ isRecording, withTimes }) {
    const runSnapshot = ({ startedAt, offsetS, durationS, segments }) => ({
      startedAt: startedAt.getTime(),
      offsetS,
      durationS,
      segments: [...segments.values()].filter(isShown).map((each) => (withTimes ? each : { ...each, words: [] })),
    });
    const last = isRecording ? this.runs.at(-1) : null;
    return this.runs.filter((run) => run === last || [...run.segments.values()].some(isShown)).map(runSnapshot);
  }

  /**
   * Add a run from an earlier page's snapshot.
   * @param {object} run
   * @param {{isOver: boolean}} options false: more messages will come for it
   * @returns {Segment[]} its segments
   */
  restoreRun({ startedAt, offsetS, durationS, segments }, { isOver }) {
    const byKey = new Map(segments.map((segment) => [segment.key, segment]));
    this.runs.push({ startedAt: new Date(startedAt), offsetS, durationS, isOver, segments: byKey });
    return segments;
  }

  /** Make unfinished segments final as they are: their audio is lost, so that no later part transcribes it again. */
  finalizeOpen() {
    const open = [...this.runs.at(-1).segments.values()].filter(({ isFinal }) => !isFinal);
    open.forEach((segment) => {
      segment.isFinal = true;
    });
    return open;
  }

  /** Return the text as paragraphs with a blank line between them. */
  text() {
    return this.#visible()
      .map(({ segment }) => `${segment.committed}${segment.tail}`.trim())
      .join("\n\n");
  }

  /** Return the text as SubRip subtitles; each recording's times continue those of the one before. */
  srt() {
    return this.#visible()
      .flatMap(({ segment, run }) => cues(segment, run.offsetS))
      .map(({ start, end, text }, i) => `${i + 1}\n${srtTime(start)} --> ${srtTime(end)}\n${text}\n`)
      .join("\n");
  }

  #all() {
    return this.runs.flatMap((run) => [...run.segments.values()].map((segment) => ({ run, segment })));
  }

  #visible() {
    return this.#all().filter(({ segment }) => isShown(segment));
  }
}

export function isShown({ hidden, committed, tail }) {
  return !hidden && `${committed}${tail}`.trim() !== "";
}

/** Split a segment into subtitles, preferably at the end of a sentence. */
function cues(segment, offsetS) {
  const words = segment.words.length > 0 ? segment.words : [{ ...segment, word: `${segment.committed}${segment.tail}` }];
  const result = [];
  let cue = null;
  for (const { word, start, end } of words) {
    const text = (cue?.text ?? "") + word;
    if (cue !== null && (text.length > CUE_CHARACTERS || end - cue.start > CUE_S || /[.?!。？！]\s*$/u.test(cue.text))) {
      result.push(cue);
      cue = null;
    }
    cue = cue === null ? { start, end, text: word } : { ...cue, end, text };
  }
  return [...result, cue].map(({ start, end, text }) => ({ start: start + offsetS, end: end + offsetS, text: text.trim() }));
}

function srtTime(seconds) {
  const ms = Math.round(seconds * 1_000);
  const pad = (value, width = 2) => String(Math.floor(value)).padStart(width, "0");
  return `${pad(ms / 3_600_000)}:${pad((ms / 60_000) % 60)}:${pad((ms / 1_000) % 60)},${pad(ms % 1_000, 3)}`;
}

/** Format seconds as a clock: 0:07, 12:34, 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const pad = (value) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}
