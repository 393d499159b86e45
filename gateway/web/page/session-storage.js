/**
 * Shell: what is on the page, and the session that is not over, across a reload; in this tab's storage only. Who opens
 * the page anew begins anew.
 */

import { fromBase64, toBase64 } from "../audio/pcm-base64.js";
import { SAMPLE_RATE } from "../session/replay-buffer.js";

const RUNS = "runs";
const SESSION = "session";
const KEEP_EVERY_MS = 10_000;
// Storages hold 2.5 million characters and more, a second of audio takes 43 thousand: less of it where the text is long.
const AUDIO_S = [40, 10, 0];

/** Keeps what `keep` says when the page goes away, and now and then, for it may go without a word. */
export class Keeper {
  #keep;
  #hasLeft = false;

  /**
   * @param {{keep: () => void, leave: () => void, isBusy: () => boolean}} page keep calls `keep` below; leave lets go of
   *   what a later page takes up; isBusy: there is a session
   */
  constructor({ keep, leave, isBusy }) {
    this.#keep = keep;
    addEventListener("pagehide", () => {
      this.now();
      this.#hasLeft = true;
      leave();
    });
    // A page out of the browser's memory has let go of its session: it comes back as one that was loaded anew.
    addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
    setInterval(() => isBusy() && this.now(), KEEP_EVERY_MS);
  }

  now() {
    if (!this.#hasLeft) {
      this.#keep();
    }
  }
}

/**
 * Keep the transcript and a session that is not over.
 * @param {import("../session/transcript.js").Transcript} transcript
 * @param {import("../session/session.js").Session | undefined} session
 * @param {{language: string, task: string}} choices it was begun with
 */
export function keep(transcript, session, choices) {
  discard();
  const isGoingOn = session !== undefined && session.kept(0) !== null;
  const texts = [true, false].map((withTimes) => () => transcript.saved({ isGoingOn, withTimes }));
  const isTextKept = store(RUNS, texts);
  if (isGoingOn) {
    // Without the text, the server is asked to say all of it again.
    const known = isTextKept ? {} : { lastSeq: 0 };
    const sessions = AUDIO_S.map((most) => () => {
      const { pcm, ...kept } = session.kept(most * SAMPLE_RATE);
      return { ...kept, ...known, choices, keptAt: Date.now(), audio: toBase64(pcm) };
    });
    store(SESSION, sessions);
  }
}

/** Forget the session: it is over. */
export function discard() {
  quietly(() => sessionStorage.removeItem(SESSION));
}

/**
 * Return what an earlier page kept in this tab.
 * @returns {{runs: object[], session: object | null}} session: with its audio as pcm, and its age when it was taken, ageS
 */
export function takeKept() {
  const [navigation] = performance.getEntriesByType("navigation");
  if (navigation?.type === "navigate" && document.wasDiscarded !== true) {
    quietly(() => sessionStorage.removeItem(RUNS));
    discard();
  }
  const runs = load(RUNS) ?? [];
  const session = load(SESSION);
  if (session === null) {
    return { runs, session };
  }
  const { audio, keptAt, ...kept } = session;
  return { runs, session: { ...kept, pcm: fromBase64(audio), ageS: (Date.now() - keptAt) / 1_000 } };
}

/** Store the first of the values that there is room for; say whether there was. */
function store(key, makers) {
  return makers.some((make) => quietly(() => sessionStorage.setItem(key, JSON.stringify(make()))));
}

function load(key) {
  let text = null;
  quietly(() => {
    text = sessionStorage.getItem(key);
  });
  return text === null ? null : JSON.parse(text);
}

/** Say whether the storage did it: it may be full, or forbidden. */
function quietly(act) {
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
