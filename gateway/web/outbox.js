/**
 * Core: the recorded audio between the microphone and the server's last word about it.
 *
 * Positions are sample indices at 16 kHz from the start of the session. Three marks move forward over the audio:
 * committed (the server will never need it again) ≤ sent ≤ captured. What lies before `committed` is dropped; what
 * lies before `sent` is kept as long as it fits, so that a later connection could send it again.
 */

export const SAMPLE_RATE = 16_000;
export const MESSAGE_SAMPLES = SAMPLE_RATE / 10;

export class Outbox {
  #chunks = []; // {start, pcm}, in order, without holes
  #maxUnsent;
  #maxKept;
  captured = 0;
  sent = 0;
  committed = 0;

  /** @param {{maxUnsentSamples: number, maxKeptSamples: number}} bounds */
  constructor({ maxUnsentSamples, maxKeptSamples }) {
    this.#maxUnsent = maxUnsentSamples;
    this.#maxKept = maxKeptSamples;
  }

  get unsent() {
    return this.captured - this.sent;
  }

  /** First sample that is still here. */
  get start() {
    return this.#chunks.length > 0 ? this.#chunks[0].start : this.captured;
  }

  get isFull() {
    return this.unsent >= this.#maxUnsent;
  }

  /** @param {Int16Array} pcm */
  append(pcm) {
    if (pcm.length > 0) {
      this.#chunks.push({ start: this.captured, pcm });
      this.captured += pcm.length;
    }
  }

  /**
   * Return the next message's samples and count them as sent; null when there is not enough for one.
   * @param {{rest: boolean}} options rest: a message may be shorter, for no more audio comes
   * @returns {Int16Array | null}
   */
  take({ rest }) {
    const length = Math.min(MESSAGE_SAMPLES, this.unsent);
    if (length === 0 || (length < MESSAGE_SAMPLES && !rest)) {
      return null;
    }
    const message = this.#copy(this.sent, length);
    this.sent += length;
    this.#forget();
    return message;
  }

  /** Note what the server will never ask for again. */
  acknowledge(committedUntil) {
    this.committed = Math.max(this.committed, Math.min(committedUntil, this.sent));
    this.#forget();
  }

  #copy(from, length) {
    const copy = new Int16Array(length);
    for (const { start, pcm } of this.#chunks) {
      const skip = Math.max(0, from - start);
      const part = pcm.subarray(skip, Math.max(skip, from + length - start));
      if (part.length > 0) {
        copy.set(part, start + skip - from);
      }
      if (start + pcm.length >= from + length) {
        break;
      }
    }
    return copy;
  }

  /** Drop whole chunks that are committed, or that are sent and more than we keep. */
  #forget() {
    const until = Math.max(this.committed, this.sent - this.#maxKept);
    const first = this.#chunks.findIndex(({ start, pcm }) => start + pcm.length > until);
    this.#chunks.splice(0, first === -1 ? this.#chunks.length : first);
  }

  /** Assert what must hold between two calls. */
  check() {
    const marks = [0, this.committed, this.sent, this.captured];
    const ordered = marks.every((mark, i) => i === 0 || marks[i - 1] <= mark);
    const held = this.#chunks.reduce((sum, { pcm }) => sum + pcm.length, 0);
    if (!ordered || this.start + held !== this.captured || this.start > this.sent) {
      throw new Error(`outbox broken: marks ${marks}, start ${this.start}, held ${held}`);
    }
  }
}
