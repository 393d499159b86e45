/**
 * Core: the recorded audio between the microphone and the server's last word about it.
 *
 * Positions are sample indices at 16 kHz from the start of the recording. Three marks lie on the audio: settled (its
 * text is final) ≤ sent ≤ captured. What lies before `settled` is dropped; what lies before `sent` is kept as long as
 * it fits, so that a later connection can send it again: then `sent` moves back.
 */

export const SAMPLE_RATE = 16_000;
export const MESSAGE_SAMPLES = SAMPLE_RATE / 10;

export class Outbox {
  #chunks = []; // {start, pcm}, in order, without holes
  #maxUnsent;
  #maxKept;
  captured = 0;
  sent = 0;
  settled = 0;
  acknowledged = 0; // what the server is known to have
  #furthest = 0; // the most that was ever sent
  #joint = Infinity; // where an earlier page's audio ends, until the server has said how much of it there was

  /** @param {{maxUnsentSamples: number, maxKeptSamples: number}} bounds */
  constructor({ maxUnsentSamples, maxKeptSamples }) {
    this.#maxUnsent = maxUnsentSamples;
    this.#maxKept = maxKeptSamples;
  }

  /**
   * Go on with what an earlier page had kept.
   * @param {ReturnType<Outbox["kept"]>} kept
   */
  static revived({ settled, acknowledged, start, pcm }, bounds) {
    const outbox = new Outbox(bounds);
    Object.assign(outbox, { settled, acknowledged, captured: start, sent: start });
    outbox.#furthest = start;
    outbox.append(pcm);
    outbox.#joint = outbox.captured;
    return outbox;
  }

  get unsent() {
    return this.captured - this.sent;
  }

  /** Samples whose text is not final. */
  get pending() {
    return this.captured - this.settled;
  }

  /** First sample that is still here. */
  get start() {
    return this.#chunks.length > 0 ? this.#chunks[0].start : this.captured;
  }

  /** Whether too much was never sent at all; what is only sent again is bounded already. */
  get isFull() {
    return this.captured - this.#furthest >= this.#maxUnsent;
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
    this.#furthest = Math.max(this.#furthest, this.sent);
    this.#forget();
    return message;
  }

  /** Note how far the text is final. */
  settle(position) {
    this.settled = Math.max(this.settled, Math.min(position, this.sent));
    this.#forget();
  }

  /** Note how much the server has. */
  acknowledge(position) {
    this.acknowledged = Math.max(this.acknowledged, Math.min(position, this.sent));
  }

  /**
   * Note at the first word of a server how much it has. A page that was cut off may not have kept all that it had
   * sent: what was recorded since then comes after that.
   */
  adopt(position) {
    const ahead = position - this.#joint;
    if (ahead > 0) {
      const since = this.#chunks.filter(({ start }) => start >= this.#joint);
      this.#chunks = since.map(({ start, pcm }) => ({ start: start + ahead, pcm }));
      this.captured += ahead;
      this.sent = position;
      this.#furthest = Math.max(this.#furthest, position);
    }
    this.#joint = Infinity;
  }

  /**
   * Return what a later page needs to go on: everything whose text is not final if it is not too much, else from what
   * the server does not have on.
   * @param {number} mostSamples
   */
  kept(mostSamples) {
    const needed = this.captured - this.settled <= mostSamples ? this.settled : Math.max(this.settled, this.acknowledged);
    const start = Math.max(this.start, needed);
    const pcm = this.#copy(start, Math.min(mostSamples, this.captured - start));
    return { settled: this.settled, acknowledged: this.acknowledged, recorded: this.captured, start, pcm };
  }

  /**
   * Send again from a position on, or from the first one after it that is still here.
   * @returns {number} the position that is sent next
   */
  rewind(position) {
    this.sent = Math.min(Math.max(position, this.settled, this.start), this.captured);
    return this.sent;
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

  /** Drop whole chunks whose text is final, or that are sent and more than we keep. */
  #forget() {
    const until = Math.max(this.settled, this.sent - this.#maxKept);
    const first = this.#chunks.findIndex(({ start, pcm }) => start + pcm.length > until);
    this.#chunks.splice(0, first === -1 ? this.#chunks.length : first);
  }

  /** Assert what must hold between two calls. */
  check() {
    const marks = [0, this.settled, this.sent, this.captured];
    const ordered = marks.every((mark, i) => i === 0 || marks[i - 1] <= mark);
    const held = this.#chunks.reduce((sum, { pcm }) => sum + pcm.length, 0);
    if (!ordered || this.start + held !== this.captured || this.start > this.sent) {
      throw new Error(`outbox broken: marks ${marks}, start ${this.start}, held ${held}`);
    }
  }
}
