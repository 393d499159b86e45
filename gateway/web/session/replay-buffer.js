/**
 * Core: recorded audio until its text is final.
 *
 * Positions are sample indices at 16 kHz from the start of the recording: settled (its text is final) ≤ sent ≤
 * captured. Audio before `settled` is dropped; audio before `sent` is kept as long as it fits, so that a later
 * connection can replay it: then `sent` moves back.
 */

export const SAMPLE_RATE = 16_000;
export const MESSAGE_SAMPLES = SAMPLE_RATE / 10;

export class ReplayBuffer {
  #chunks = []; // {start, pcm}, in order, without gaps
  #maxUnsent;
  #maxKept;
  captured = 0;
  sent = 0;
  settled = 0;
  acknowledged = 0; // what the server is known to have
  #everSent = 0;
  #restoredEnd = Infinity; // where an earlier page's audio ends, until the server has said how much it received

  /** @param {{maxUnsentSamples: number, maxKeptSamples: number}} limits */
  constructor({ maxUnsentSamples, maxKeptSamples }) {
    this.#maxUnsent = maxUnsentSamples;
    this.#maxKept = maxKeptSamples;
  }

  /** @param {ReturnType<ReplayBuffer["checkpoint"]>} checkpoint of an earlier page */
  static restore({ settled, acknowledged, start, pcm }, limits) {
    const buffer = new ReplayBuffer(limits);
    Object.assign(buffer, { settled, acknowledged, captured: start, sent: start });
    buffer.#everSent = start;
    buffer.append(pcm);
    buffer.#restoredEnd = buffer.captured;
    return buffer;
  }

  get unsent() {
    return this.captured - this.sent;
  }

  /** Samples whose text is not final. */
  get pending() {
    return this.captured - this.settled;
  }

  /** Position of the first sample that is still kept. */
  get start() {
    return this.#chunks.length > 0 ? this.#chunks[0].start : this.captured;
  }

  /** Return true if too much has never been sent; what is only sent again is limited already. */
  get isFull() {
    return this.captured - this.#everSent >= this.#maxUnsent;
  }

  /** @param {Int16Array} pcm */
  append(pcm) {
    if (pcm.length > 0) {
      this.#chunks.push({ start: this.captured, pcm });
      this.captured += pcm.length;
    }
  }

  /**
   * Return the next message's samples and count them as sent; null if there is not enough for one.
   * @param {{flush: boolean}} options flush: no more audio will come, so that the last message may be shorter
   * @returns {Int16Array | null}
   */
  takeMessage({ flush }) {
    const length = Math.min(MESSAGE_SAMPLES, this.unsent);
    if (length === 0 || (length < MESSAGE_SAMPLES && !flush)) {
      return null;
    }
    const message = this.#copy(this.sent, length);
    this.sent += length;
    this.#everSent = Math.max(this.#everSent, this.sent);
    this.#discard();
    return message;
  }

  /** Note up to where the text is final. */
  settle(position) {
    this.settled = Math.max(this.settled, Math.min(position, this.sent));
    this.#discard();
  }

  /** Note up to where the server has received the audio. */
  acknowledge(position) {
    this.acknowledged = Math.max(this.acknowledged, Math.min(position, this.sent));
  }

  /**
   * Move what this page has recorded behind what the server has received. An earlier page that was killed may have sent
   * more than its last checkpoint held.
   */
  reconcile(position) {
    const ahead = position - this.#restoredEnd;
    if (ahead > 0) {
      const since = this.#chunks.filter(({ start }) => start >= this.#restoredEnd);
      this.#chunks = since.map(({ start, pcm }) => ({ start: start + ahead, pcm }));
      this.captured += ahead;
      this.sent = position;
      this.#everSent = Math.max(this.#everSent, position);
    }
    this.#restoredEnd = Infinity;
  }

  /**
   * Return what a later page needs: all audio whose text is not final, or if that is too much, what the server does not
   * have.
   * @param {number} maxSamples
   */
  checkpoint(maxSamples) {
    const needed = this.captured - this.settled <= maxSamples ? this.settled : Math.max(this.settled, this.acknowledged);
    const start = Math.max(this.start, needed);
    const pcm = this.#copy(start, Math.min(maxSamples, this.captured - start));
    return { settled: this.settled, acknowledged: this.acknowledged, recorded: this.captured, start, pcm };
  }

  /**
   * Send again from a position, or from the first one after it that is still kept.
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

  /** Drop whole chunks whose text is final, or that are sent and exceed the limit. */
  #discard() {
    const until = Math.max(this.settled, this.sent - this.#maxKept);
    const first = this.#chunks.findIndex(({ start, pcm }) => start + pcm.length > until);
    this.#chunks.splice(0, first === -1 ? this.#chunks.length : first);
  }

  /** Throw if an invariant is broken; for tests. */
  check() {
    const marks = [0, this.settled, this.sent, this.captured];
    const ordered = marks.every((mark, i) => i === 0 || marks[i - 1] <= mark);
    const held = this.#chunks.reduce((sum, { pcm }) => sum + pcm.length, 0);
    if (!ordered || this.start + held !== this.captured || this.start > this.sent) {
      throw new Error(`replay buffer broken: marks ${marks}, start ${this.start}, held ${held}`);
    }
  }
}
