/** Shell: the transcript across a reload of the page, in this tab's storage only. Who opens the page anew begins anew. */

const KEY = "transcript";
const NOTHING = { runs: [], pendingS: 0 };

/**
 * Keep what is on the page, and how much audio had no final text yet.
 * @param {import("./transcript.js").Transcript} transcript
 * @param {import("./session.js").Session | undefined} session the one that is not over, if there is one
 */
export function keep(transcript, session) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ runs: transcript.saved(), pendingS: session?.pendingS ?? 0 }));
  } catch (error) {
    if (!(error instanceof DOMException)) {
      throw error; // else the storage is full or forbidden: the browser has asked whether to leave
    }
  }
}

/** Return what was kept, once. */
export function takeKept() {
  const [navigation] = performance.getEntriesByType("navigation");
  try {
    const text = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return text === null || navigation?.type === "navigate" ? NOTHING : JSON.parse(text);
  } catch (error) {
    if (!(error instanceof DOMException)) {
      throw error;
    }
    return NOTHING;
  }
}
