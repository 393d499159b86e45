/**
 * Core: where the server's samples lie in the recording. A server that has forgotten the session begins another at
 * zero (a new part); its times and segment numbers are then its own.
 */

import { SAMPLE_RATE } from "./replay-buffer.js";

export class Timeline {
  #part;
  #base; // where the server's sample 0 lies

  /** @param {{part: number, base: number}} place of an earlier page */
  constructor({ part, base } = { part: 0, base: 0 }) {
    this.#part = part;
    this.#base = base;
  }

  get place() {
    return { part: this.#part, base: this.#base };
  }

  /** Return where a sample of the server's lies in the recording. */
  position(sample) {
    return this.#base + sample;
  }

  /**
   * Place a further connection, and have the outbox send what the server does not have.
   * @param {{resumed: boolean, received: number}} config the server's greeting
   * @param {import("./replay-buffer.js").Outbox} outbox
   * @returns {boolean} whether the server knows the session
   */
  goOn({ resumed, received }, outbox) {
    const isKnown = resumed === true && Number.isInteger(received);
    const next = isKnown ? received : 0;
    this.#part += isKnown ? 0 : 1;
    if (isKnown) {
      outbox.adopt(this.#base + next);
    }
    this.#base = outbox.rewind(isKnown ? this.#base + next : outbox.settled) - next;
    return isKnown;
  }

  /**
   * Return a partial or a final in the recording's time, with its part.
   * @param {{start: number, end: number, words?: {start: number, end: number}[]}} message times in seconds
   */
  moved(message) {
    const offsetS = this.#base / SAMPLE_RATE;
    const moved = ({ start, end }) => ({ start: start + offsetS, end: end + offsetS });
    const words = message.words?.map((word) => ({ ...word, ...moved(word) }));
    return { ...message, ...moved(message), part: this.#part, ...(words === undefined ? {} : { words }) };
  }
}
