/**
 * Core: translates the server's times to the recording's. A server that no longer knows the session starts another at
 * zero (a new part), with its own times and segment numbers.
 */

import { SAMPLE_RATE } from "./replay-buffer.js";

export class Timeline {
  #part;
  #base; // position of the server's sample 0 in the recording

  /** @param {{part: number, base: number}} place from a checkpoint */
  constructor({ part, base } = { part: 0, base: 0 }) {
    this.#part = part;
    this.#base = base;
  }

  get place() {
    return { part: this.#part, base: this.#base };
  }

  /** Return the position in the recording of one of the server's samples. */
  position(sample) {
    return this.#base + sample;
  }

  /**
   * Start a further connection: rewind the buffer to what the server does not have.
   * @param {{resumed: boolean, received: number}} config
   * @param {import("./replay-buffer.js").ReplayBuffer} buffer
   * @returns {boolean} true if the server knows the session
   */
  reconnect({ resumed, received }, buffer) {
    const isKnown = resumed === true && Number.isInteger(received);
    const next = isKnown ? received : 0;
    this.#part += isKnown ? 0 : 1;
    if (isKnown) {
      buffer.reconcile(this.#base + next);
    }
    this.#base = buffer.rewind(isKnown ? this.#base + next : buffer.settled) - next;
    return isKnown;
  }

  /**
   * Return a partial or a final in the recording's time, with its part.
   * @param {{start: number, end: number, words?: {start: number, end: number}[]}} message times in seconds
   */
  translate(message) {
    const offsetS = this.#base / SAMPLE_RATE;
    const shifted = ({ start, end }) => ({ start: start + offsetS, end: end + offsetS });
    const words = message.words?.map((word) => ({ ...word, ...shifted(word) }));
    return { ...message, ...shifted(message), part: this.#part, ...(words === undefined ? {} : { words }) };
  }
}
