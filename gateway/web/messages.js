/** Core: the server's messages, as a session takes them. */

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

/**
 * Move a text's times.
 * @param {{start: number, end: number, words?: {start: number, end: number}[]}} message a partial or a final
 * @param {number} offsetS where the server's time 0 lies
 * @param {number} part which of the server's beginnings counts the segments
 */
export function inOurTime(message, offsetS, part) {
  const moved = ({ start, end }) => ({ start: start + offsetS, end: end + offsetS });
  const words = message.words?.map((word) => ({ ...word, ...moved(word) }));
  return { ...message, ...moved(message), part, ...(words === undefined ? {} : { words }) };
}
