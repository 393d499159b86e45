/** Core: what the server's messages mean. */

/** @returns {{type: string} | null} null if the text is not a message of the protocol */
export function parse(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === "string" ? message : null;
  } catch (error) {
    if (error instanceof SyntaxError) {
      return null;
    }
    throw error;
  }
}

/** Return true if a message is a result of our audio, and so proves that the audio arrives. */
export function isAboutAudio({ type }) {
  return ["ack", "partial", "final"].includes(type);
}

/** Return true for the status that says that the session has a slot with its model loaded. */
export function isReady({ type, code }) {
  return type === "status" && code === "ready";
}
