/** Core: what was said, as runs (one for each press of the button) of segments, and its exports. */

const CUE_CHARACTERS = 84; // two subtitle lines
const CUE_S = 6;

/**
 * A tail brings its own leading space, and so does each word: text is joined by plain concatenation.
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

  /** Begin a new recording after the former ones. */
  begin(startedAt) {
    const former = this.runs.at(-1);
    const offsetS = former === undefined ? 0 : former.offsetS + former.durationS;
    this.runs.push({ startedAt, offsetS, durationS: 0, isOver: false, segments: new Map() });
  }

  /** Note how long the current recording has become, in seconds. */
  lengthen(durationS) {
    this.runs.at(-1).durationS = durationS;
  }

  /**
   * The recording is over. When it was finished, a tail that is still here was withdrawn: everything said is final.
   * When it was cut off, the tail is the best that is known of the last words.
   * @returns {Segment[]} the segments that changed
   */
  end({ finished }) {
    const run = this.runs.at(-1);
    run.isOver = true;
    const open = finished ? [...run.segments.values()].filter(({ isFinal }) => !isFinal) : [];
    open.forEach((segment) => {
      segment.tail = "";
    });
    return open;
  }

  /**
   * Take a `partial` or `final` message of the current recording.
   * @returns {Segment[]} the segments that changed
   */
  apply(message) {
    const { segments } = this.runs.at(-1);
    const { part = 0 } = message;
    const key = `${part}.${message.segment}`;
    const former = segments.get(key);
    if (former?.isFinal) {
      return []; // a final never changes, and may be told twice
    }
    const isFinal = message.type === "final";
    const segment = former ?? { key, part, hidden: false };
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

  /** A server that began anew (a later part) says again what was not final: its first words replace the former ones. */
  #supersede(part) {
    const former = [...this.runs.at(-1).segments.values()].filter((each) => each.part < part && !each.isFinal);
    former.forEach((segment) => Object.assign(segment, { committed: "", tail: "", isFinal: true }));
    return former;
  }

  /** Hide everything but the sentence being spoken; `restore` brings it back, `purge` forgets it. */
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
   * What a later page can show again, as plain values: every run with what is visible of it.
   * @param {{isGoingOn: boolean, withTimes: boolean}} options isGoingOn: the last run is not over, whatever it has;
   *   withTimes: with each word's times, which only subtitles need
   */
  saved({ isGoingOn, withTimes }) {
    const savedRun = ({ startedAt, offsetS, durationS, segments }) => ({
      startedAt: startedAt.getTime(),
      offsetS,
      durationS,
      segments: [...segments.values()].filter(isShown).map((each) => (withTimes ? each : { ...each, words: [] })),
    });
    const last = isGoingOn ? this.runs.at(-1) : null;
    return this.runs.filter((run) => run === last || [...run.segments.values()].some(isShown)).map(savedRun);
  }

  /**
   * Add a run that an earlier page had saved. Unless it goes on it is over: its last tail is the best that is known of
   * the last words.
   * @returns {Segment[]} its segments
   */
  revive({ startedAt, offsetS, durationS, segments }, { goesOn }) {
    const byKey = new Map(segments.map((segment) => [segment.key, segment]));
    this.runs.push({ startedAt: new Date(startedAt), offsetS, durationS, isOver: !goesOn, segments: byKey });
    return segments;
  }

  /** Take what is open for the best that will be known: its audio is gone, and nothing that is said now replaces it. */
  settle() {
    const open = [...this.runs.at(-1).segments.values()].filter(({ isFinal }) => !isFinal);
    open.forEach((segment) => {
      segment.isFinal = true;
    });
    return open;
  }

  /** The text as paragraphs, a blank line between them. */
  text() {
    return this.#visible()
      .map(({ segment }) => `${segment.committed}${segment.tail}`.trim())
      .join("\n\n");
  }

  /** The text as SubRip subtitles; a later recording's times follow the former's. */
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

/** Whether the segment has anything to read. */
export function isShown({ hidden, committed, tail }) {
  return !hidden && `${committed}${tail}`.trim() !== "";
}

/** Cut a segment into subtitles, after a sentence where one ends in time. */
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

/** Seconds as a clock: 0:07, 12:34, 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const pad = (value) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}
