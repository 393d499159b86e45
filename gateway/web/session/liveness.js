/**
 * Core: whether the other end of an open socket is still there. A network can go silently, and a browser neither
 * shows pings nor sends them: what tells is audio that nobody acknowledges.
 */

import { SAMPLE_RATE } from "./replay-buffer.js";

const SILENCE_S = 30; // many times what a healthy server needs, and more than a slow one takes for a step
const UNANSWERED_SAMPLES = 2 * SAMPLE_RATE; // it acknowledges about every second of audio

export class Liveness {
  #isAnswering = false;
  #unanswered = 0;
  #since = 0;

  /**
   * Note a message.
   * @param {boolean} isAnswering whether the server answers audio now; while it looks for a slot it does not
   */
  heard(isAnswering, now) {
    this.#isAnswering = isAnswering;
    this.#unanswered = this.#unanswered === Infinity ? Infinity : 0;
    this.#since = now;
  }

  /** Note audio handed to the socket; Infinity for the end of the audio, whose answer is the end of all. */
  sent(samples, now) {
    if (this.#unanswered === 0) {
      this.#since = now;
    }
    this.#unanswered += samples;
  }

  /** When the socket is to be held for dead, in seconds; Infinity while there is no reason to. */
  get deadline() {
    return this.#isAnswering && this.#unanswered >= UNANSWERED_SAMPLES ? this.#since + SILENCE_S : Infinity;
  }
}
