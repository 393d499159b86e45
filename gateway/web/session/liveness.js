/**
 * Core: detects a dead socket. A network can fail without closing it, and a browser has no access to pings; the only
 * sign is that the server no longer acknowledges audio.
 */

import { SAMPLE_RATE } from "./replay-buffer.js";

const SILENCE_S = 30; // many times what a healthy server needs, and longer than a step of a slow one
const UNANSWERED_SAMPLES = 2 * SAMPLE_RATE; // the server acknowledges about every second of audio

export class Liveness {
  #isAnswering = false;
  #unanswered = 0;
  #since = 0;

  /** @param {boolean} isAnswering false while the server looks for a slot: it does not answer audio then */
  onMessage(isAnswering, now) {
    this.#isAnswering = isAnswering;
    this.#unanswered = this.#unanswered === Infinity ? Infinity : 0;
    this.#since = now;
  }

  /** @param {number} samples handed to the socket; Infinity for the end of the audio: only ready_to_stop answers that */
  onSent(samples, now) {
    if (this.#unanswered === 0) {
      this.#since = now;
    }
    this.#unanswered += samples;
  }

  /** When to consider the socket dead, in seconds; may be Infinity. */
  get deadline() {
    return this.#isAnswering && this.#unanswered >= UNANSWERED_SAMPLES ? this.#since + SILENCE_S : Infinity;
  }
}
