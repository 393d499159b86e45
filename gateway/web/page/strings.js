/** Core: every sentence that the page shows. */

import { SAMPLE_RATE } from "../session/replay-buffer.js";
import { clock } from "../session/transcript.js";

/** @typedef {{title: string, detail: string, retryAfterS?: number, shownMs?: number, canRetry?: boolean}} Notice */

const MISSING_SHOWN_S = 0.25;

export const IDLE = "Press the red button to start";

const MICROPHONE_NOTICES = {
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
  RecorderNotLoaded: {
    title: "The recorder could not be loaded from the server.",
    detail: "The server may be restarting, or the network may be down. Nothing is wrong with the microphone.",
    canRetry: true,
  },
};

/** @param {string} name of a MicrophoneError @returns {Notice} */
export function microphoneNotice(name) {
  const aliases = { SecurityError: "NotAllowedError", OverconstrainedError: "NotFoundError", AbortError: "NotReadableError" };
  return (
    MICROPHONE_NOTICES[aliases[name] ?? name] ?? {
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

/** While the microphone gives nothing, by the problem of capture-watch.js. */
export const CAPTURE_NOTICES = {
  suspended: {
    title: "The browser has paused the microphone.",
    detail: "Nothing is being recorded. Click anywhere on this page to go on, or press the red button to finish.",
  },
  muted: {
    title: "The microphone is muted.",
    detail: "Nothing is being recorded. Unmute it on the device, the headset or in the system's settings.",
  },
  stalled: {
    title: "The microphone has stopped giving sound.",
    detail: "Nothing is being recorded. Connect it again, or press the red button to finish and start anew.",
  },
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
export const GAVE_UP = "Not connected. Recording goes on.";

/** The status line while there is no connection or no slot. */
export function waitingStatus(link) {
  return link === "queued"
    ? "All slots are busy. Waiting for one… your words are kept."
    : "Connection lost. Reconnecting… your words are kept.";
}

/** @returns {Notice} reconnecting has failed for a minute; the recording goes on */
export function gaveUpNotice({ lossKind }) {
  return {
    title: lossKind === "busy" ? "All transcription slots are still busy." : "The connection could not be restored.",
    detail: "Your words, and what you say meanwhile, are kept. Check the network, then try again.",
  };
}

/** @returns {Notice} the same after the end of the recording */
export function unsentNotice({ lossKind, pendingS }) {
  return {
    title: lossKind === "busy" ? "All transcription slots are still busy." : "The last words could not be sent yet.",
    detail: `The last ${durationText(pendingS)} of your recording are kept on this page. Try again in a while.`,
  };
}

/** The status line for `unsentNotice`. */
export function unsentStatus({ pendingS }) {
  return `Stopped · the last ${durationText(pendingS)} are not transcribed yet`;
}

/** @returns {Notice} the person starts a new recording while one is unsent */
export function discardNotice({ pendingS }) {
  return {
    title: "Your former recording is not transcribed to its end.",
    detail: `Its last ${durationText(pendingS)} still wait to be sent, and are lost if you record anew now.`,
  };
}

export const RESTORING = "Taking up your recording…";
export const PAUSED = "Paused";

/** @returns {Notice} after a reload, if the browser wants a click before it opens the microphone */
export function continueNotice(withinS) {
  return {
    title: "The page was loaded anew during your recording.",
    detail: `The browser wants a click before it gives the microphone again. Without one the recording ends in ${withinS} s.`,
  };
}

export const IN_ANOTHER_TAB = {
  title: "The recording goes on in another tab.",
  detail: "This tab is a copy of that one, and shows what had been said by then.",
};

/**
 * @param {{isKnown: boolean, missingS: number}} restoration see session.js
 * @param {number | null} gapS for how long nothing was recorded; null: the recording does not go on
 * @returns {Notice}
 */
export function restoredNotice({ isKnown, missingS }, gapS) {
  const wholeS = Math.max(1, Math.round(gapS ?? 0));
  const isMissing = missingS >= MISSING_SHOWN_S;
  const detail = [
    gapS === null ? "" : `What was said in the ${wholeS} s between was not recorded.`,
    isKnown ? "" : "The server had ended that session, and began another with what was not transcribed yet.",
    isMissing ? `${durationText(missingS)} of audio could not be kept: words may be missing there.` : "",
  ];
  return {
    title: gapS === null ? "The recording ended when the page was left." : "The page was loaded anew. Recording goes on.",
    detail: detail.filter(Boolean).join(" ") || "Everything that was said until then is here.",
    shownMs: isMissing || gapS === null ? Infinity : 10_000,
  };
}

/** What the status line adds while audio waits to be sent. */
export function backlog(unsentS, isSlow) {
  return `${isSlow ? "The connection is slow: " : ""}${Math.round(unsentS)} s wait to be sent`;
}

function durationText(seconds) {
  return seconds < 60 ? `${Math.max(1, Math.round(seconds))} s` : `${clock(seconds)} min`;
}

const TRANSCRIPT_STAYS = "Your transcript so far stays here.";

const END_NOTICES = {
  unreachable: { title: "The server cannot be reached.", detail: "It may be starting, or the network may be down.", canRetry: true },
  lost: { title: "The connection was lost.", detail: `${TRANSCRIPT_STAYS} Press the red button to go on.`, canRetry: true },
  restarting: { title: "The server is restarting.", detail: `${TRANSCRIPT_STAYS} Try again in a moment.`, canRetry: true },
  replaced: { title: "This session continues elsewhere.", detail: `Another window took it over. ${TRANSCRIPT_STAYS}` },
  forbidden: {
    title: "This page's address is not allowed to use the server.",
    detail: "Its operator can add the address to the allowed origins.",
  },
  limit: { title: "The session has reached its limit.", detail: `${TRANSCRIPT_STAYS} Press the red button to begin a new one.`, canRetry: true },
  refused: { title: "The server did not accept this session.", detail: "" },
  failed: { title: "The transcription was interrupted.", detail: `${TRANSCRIPT_STAYS} Press the red button to begin a new one.`, canRetry: true },
};

/**
 * @param {{kind: string, error: {error: string, retry_after_s?: number} | null, timedOut: string | null}} end
 * @param {string} languageName of the chosen language; empty for none
 * @returns {Notice | null} null if the session simply finished
 */
export function endNotice({ kind, error, timedOut }, languageName) {
  if (kind === "finished" || kind === "unauthorised") {
    return null;
  }
  if (kind === "busy") {
    return busyNotice(error?.retry_after_s);
  }
  if (timedOut === "finishing") {
    return { title: "The server did not finish in time.", detail: `Some of the last words may be missing. ${TRANSCRIPT_STAYS}` };
  }
  const reason = error?.error ?? "";
  if (kind === "refused" && languageName !== "" && /language/i.test(reason)) {
    return { title: `This server cannot transcribe ${languageName}.`, detail: `Choose another language. (${sentence(reason)})` };
  }
  const { detail, ...rest } = END_NOTICES[kind];
  return { ...rest, detail: [reason && sentence(reason), detail].filter(Boolean).join(" ") };
}

/** The status line after a session, with the audio that the server had to drop. */
export function endStatus({ kind }, audioAccounting, capturedS) {
  if (kind === "finished") {
    const droppedS = (audioAccounting?.dropped ?? 0) / SAMPLE_RATE;
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

/** @returns {Notice} an error message of the server while the session goes on */
export function errorNotice({ error }) {
  return { title: "The server reports a problem.", detail: sentence(String(error)) };
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Return the English name of a language code. */
export function languageName(code) {
  try {
    const name = new Intl.DisplayNames(["en"], { type: "language" }).of(code);
    return name.charAt(0).toUpperCase() + name.slice(1);
  } catch (error) {
    if (error instanceof RangeError) {
      return code; // not every code of Whisper is a language tag
    }
    throw error;
  }
}
