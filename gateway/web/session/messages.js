/** Core: the server's messages. */

/** @returns {{type: string} | null} null when the text is no message of the protocol */
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

/** Whether a message comes of our audio, and so proves that it arrives. */
export function isAnswer({ type }) {
  return ["ack", "partial", "final"].includes(type);
}
