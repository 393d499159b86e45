/** Core: what the page says to the person, for everything that can happen. */

import { SAMPLE_RATE } from "../session/replay-buffer.js";
import { clock } from "../session/transcript.js";

/** @typedef {{title: string, detail: string, retryAfterS?: number, shownMs?: number, canRetry?: boolean}} Notice */

const MISSING_SHOWN_S = 0.25;

export const IDLE = "Press the red button to start";

const MICROPHONE = {
  InsecureOrigin: {
    title: "The microphone needs a secure page.",
    detail:
      "Browsers allow the microphone only on https:// addresses and on localhost. Open this page through https, " +
      "or on the server itself.",
  },
  NotAllowedError: {
    title: "The microphone is blocked.",
    detail: "Allow it for this page in the browser's address bar, then press the red button again.",
  },
  NotFoundError: {
    title: "No microphone was found.",
    detail: "Connect one, or choose one in the system's sound settings, then press the red button again.",
  },
  NotReadableError: {
    title: "The microphone is in use.",
    detail: "Another program seems to hold it. Close that program, then press the red button again.",
  },
};

/** @returns {Notice} why there is no microphone */
export function microphoneNotice(name) {
  const aliases = { SecurityError: "NotAllowedError", OverconstrainedError: "NotFoundError", AbortError: "NotReadableError" };
  return (
    MICROPHONE[aliases[name] ?? name] ?? {
      title: "The microphone could not be started.",
      detail: `The browser says: ${name}.`,
      canRetry: true,
    }
  );
}

export const MICROPHONE_LOST = {
  title: "The microphone was disconnected.",
  detail: "What was said until then is transcribed. Connect it again and press the red button to go on.",
};

export const MICROPHONE_SILENT = {
  title: "No sound is coming from the microphone.",
  detail: "It may be muted, or another one may be chosen in the system's sound settings.",
};

export const MICROPHONE_SUSPENDED = {
  title: "The system has paused the microphone.",
  detail: "Come back to this page, or press the red button to finish.",
};

export const AUDIO_FULL = {
  title: "The connection has been slow or away for minutes.",
  detail: "Recording has stopped. What was recorded is kept and sent as soon as it can be; please keep this page open.",
};

export const COPY_FAILED = {
  title: "The browser did not allow copying.",
  detail: "Use “.txt” instead, or select the text by hand.",
};

export const FINISHING = "Finishing…";
export const RECONNECTED = "Reconnected";
export const STRANDED = "Not connected. Recording goes on.";

/** The status line while there is no connection, or none with a slot. */
export function waitingStatus(link) {
  return link === "queued"
    ? "All slots are busy. Waiting for one… your words are kept."
    : "Connection lost. Reconnecting… your words are kept.";
}

/** @returns {Notice} the session could not go on for a minute; the recording goes on */
export function strandedNotice({ lostBy }) {
  return {
    title: lostBy === "busy" ? "All transcription slots are still busy." : "The connection could not be restored.",
    detail: "Your words, and what you say meanwhile, are kept. Check the network, then try again.",
  };
}

/** @returns {Notice} the same after the recording: it waits on the page */
export function unsentNotice({ lostBy, pendingS }) {
  return {
    title: lostBy === "busy" ? "All transcription slots are still busy." : "The last words could not be sent yet.",
    detail: `The last ${lasting(pendingS)} of your recording are kept on this page. Try again in a while.`,
  };
}

/** The status line then. */
export function unsentStatus({ pendingS }) {
  return `Stopped · the last ${lasting(pendingS)} are not transcribed yet`;
}

/** @returns {Notice} a new recording is asked for while that one still waits */
export function discardNotice({ pendingS }) {
  return {
    title: "Your former recording is not transcribed to its end.",
    detail: `Its last ${lasting(pendingS)} still wait to be sent, and are lost if you record anew now.`,
  };
}

export const TAKING_UP = "Taking up your recording…";
export const PAUSED = "Paused";

/** @returns {Notice} after a reload where the browser wants a click before it opens the microphone */
export function continueNotice(withinS) {
  return {
    title: "The page was loaded anew during your recording.",
    detail: `The browser wants a click before it gives the microphone again. Without one the recording ends in ${withinS} s.`,
  };
}

export const ELSEWHERE = {
  title: "The recording goes on in another tab.",
  detail: "This tab is a copy of that one, and shows what had been said by then.",
};

/**
 * @param {{isKnown: boolean, missingS: number}} comeback how the server received the session of the earlier page
 * @param {number | null} goneS for how long nothing was recorded; null: the recording does not go on
 * @returns {Notice}
 */
export function comebackNotice({ isKnown, missingS }, goneS) {
  const wholeS = Math.max(1, Math.round(goneS ?? 0));
  const isMissing = missingS >= MISSING_SHOWN_S;
  const detail = [
    goneS === null ? "" : `What was said in the ${wholeS} s between was not recorded.`,
    isKnown ? "" : "The server had ended that session, and began another with what was not transcribed yet.",
    isMissing ? `${lasting(missingS)} of audio could not be kept: words may be missing there.` : "",
  ];
  return {
    title: goneS === null ? "The recording ended when the page was left." : "The page was loaded anew. Recording goes on.",
    detail: detail.filter(Boolean).join(" ") || "Everything that was said until then is here.",
    shownMs: isMissing || goneS === null ? Infinity : 10_000,
  };
}

/** What waits to be sent, as the status line says it. */
export function backlog(unsentS, isSlow) {
  return `${isSlow ? "The connection is slow: " : ""}${Math.round(unsentS)} s wait to be sent`;
}

function lasting(seconds) {
  return seconds < 60 ? `${Math.max(1, Math.round(seconds))} s` : `${clock(seconds)} min`;
}

const KEPT = "Your transcript so far stays here.";

const ENDS = {
  unreachable: { title: "The server cannot be reached.", detail: "It may be starting, or the network may be down.", canRetry: true },
  lost: { title: "The connection was lost.", detail: `${KEPT} Press the red button to go on.`, canRetry: true },
  restarting: { title: "The server is restarting.", detail: `${KEPT} Try again in a moment.`, canRetry: true },
  replaced: { title: "This session continues elsewhere.", detail: `Another window took it over. ${KEPT}` },
  forbidden: {
    title: "This page's address is not allowed to use the server.",
    detail: "Its operator can add the address to the allowed origins.",
  },
  limit: { title: "The session has reached its limit.", detail: `${KEPT} Press the red button to begin a new one.`, canRetry: true },
  refused: { title: "The server did not accept this session.", detail: "" },
  failed: { title: "The transcription was interrupted.", detail: `${KEPT} Press the red button to begin a new one.`, canRetry: true },
};

/**
 * @param {{kind: string, error: {error: string, retry_after_s?: number} | null, timedOut: string | null}} end
 * @param {string} languageName the chosen language as people call it; empty when none was chosen
 * @returns {Notice | null} null when the session simply finished
 */
export function endNotice({ kind, error, timedOut }, languageName) {
  if (kind === "finished" || kind === "unauthorised") {
    return null;
  }
  if (kind === "busy") {
    return busyNotice(error?.retry_after_s);
  }
  if (timedOut === "finishing") {
    return { title: "The server did not finish in time.", detail: `Some of the last words may be missing. ${KEPT}` };
  }
  const said = error?.error ?? "";
  if (kind === "refused" && languageName !== "" && /language/i.test(said)) {
    return { title: `This server cannot transcribe ${languageName}.`, detail: `Choose another language. (${sentence(said)})` };
  }
  const { detail, ...rest } = ENDS[kind];
  return { ...rest, detail: [said && sentence(said), detail].filter(Boolean).join(" ") };
}

/** The status line after a session: with the server's books, how much audio became what. */
export function endStatus({ kind }, books, capturedS) {
  if (kind === "finished") {
    const droppedS = (books?.dropped ?? 0) / SAMPLE_RATE;
    const lost = droppedS > 0 ? `, of which ${droppedS.toFixed(1)} s could not be transcribed` : "";
    return `Finished · ${clock(capturedS)} recorded${lost}`;
  }
  return ["busy", "refused", "unauthorised", "forbidden", "unreachable"].includes(kind) ? IDLE : "Stopped";
}

function busyNotice(retryAfterS) {
  const title = "All transcription slots are busy.";
  if (typeof retryAfterS !== "number") {
    return { title, detail: "Please try again in a moment.", canRetry: true };
  }
  const wholeS = Math.max(1, Math.ceil(retryAfterS));
  return { title, detail: `Please try again in ${wholeS} s.`, retryAfterS: wholeS, canRetry: true };
}

/** An error message of the server's while the session goes on. */
export function errorNotice({ error }) {
  return { title: "The server reports a problem.", detail: sentence(String(error)) };
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** A language code as people call it, in the page's language. */
export function languageName(code) {
  try {
    const name = new Intl.DisplayNames(["en"], { type: "language" }).of(code);
    return name.charAt(0).toUpperCase() + name.slice(1);
  } catch (error) {
    if (error instanceof RangeError) {
      return code; // Whisper's list may hold a code that is no language tag
    }
    throw error;
  }
}
