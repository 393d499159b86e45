/** Shell: keeps the transcript and an unfinished session across a reload, in this tab's sessionStorage. */

import { fromBase64, toBase64 } from "../audio/pcm-base64.js";
import { SAMPLE_RATE } from "../session/replay-buffer.js";

const RUNS = "runs";
const SESSION = "session";
const SAVE_EVERY_MS = 10_000;
// Storages hold at least 2.5 million characters; a second of audio takes 43 thousand, so a long text leaves less room.
const AUDIO_S = [40, 10, 0];

/** Saves when the page is left, and periodically, because a browser may kill a page without an event. */
export class AutoSave {
  #save;
  #hasLeft = false;

  /**
   * @param {{save: () => void, detach: () => void, isBusy: () => boolean}} page save calls `saveState`; detach closes the
   *   connection of a session that a later page resumes; isBusy: there is a session
   */
  constructor({ save, detach, isBusy }) {
    this.#save = save;
    addEventListener("pagehide", () => {
      this.saveNow();
      this.#hasLeft = true;
      detach();
    });
    // A page from the back/forward cache has closed its connection: it must start like a reloaded one.
    addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
    setInterval(() => isBusy() && this.saveNow(), SAVE_EVERY_MS);
  }

  saveNow() {
    if (!this.#hasLeft) {
      this.#save();
    }
  }
}

/**
 * Save the transcript, and the session unless it is over.
 * @param {import("../session/transcript.js").Transcript} transcript
 * @param {import("../session/session.js").Session | undefined} session
 * @param {{language: string, task: string}} choices of the session
 */
export function saveState(transcript, session, choices) {
  discardSession();
  const isRecording = session !== undefined && session.checkpoint(0) !== null;
  const texts = [true, false].map((withTimes) => () => transcript.snapshot({ isRecording, withTimes }));
  const isTextSaved = store(RUNS, texts);
  if (isRecording) {
    // Without the text, the server must send all of it again.
    const overrides = isTextSaved ? {} : { lastSeq: 0 };
    const sessions = AUDIO_S.map((seconds) => () => {
      const { pcm, ...checkpoint } = session.checkpoint(seconds * SAMPLE_RATE);
      return { ...checkpoint, ...overrides, choices, keptAt: Date.now(), audio: toBase64(pcm) };
    });
    store(SESSION, sessions);
  }
}

/** Delete the saved session: it is over. */
export function discardSession() {
  attempt(() => sessionStorage.removeItem(SESSION));
}

/**
 * Return what an earlier page in this tab has saved; nothing if this page was opened and not reloaded.
 * @returns {{runs: object[], session: object | null}} session: a checkpoint with its choices and its age, ageS
 */
export function loadState() {
  const [navigation] = performance.getEntriesByType("navigation");
  if (navigation?.type === "navigate" && document.wasDiscarded !== true) {
    attempt(() => sessionStorage.removeItem(RUNS));
    discardSession();
  }
  const runs = load(RUNS) ?? [];
  const session = load(SESSION);
  if (session === null) {
    return { runs, session };
  }
  const { audio, keptAt, ...checkpoint } = session;
  return { runs, session: { ...checkpoint, pcm: fromBase64(audio), ageS: (Date.now() - keptAt) / 1_000 } };
}

/** Store the first value that fits; return true if one did. */
function store(key, makers) {
  return makers.some((make) => attempt(() => sessionStorage.setItem(key, JSON.stringify(make()))));
}

function load(key) {
  let text = null;
  attempt(() => {
    text = sessionStorage.getItem(key);
  });
  return text === null ? null : JSON.parse(text);
}

/** Return false if the storage is full or forbidden. */
function attempt(act) {
  try {
    act();
    return true;
  } catch (error) {
    if (!(error instanceof DOMException)) {
      throw error;
    }
    return false;
  }
}
