/** Core: whether and when another socket, or another slot, is asked for after one was lost. */

import { Backoff } from "./backoff.js";

export class Recovery {
  lostBy = null; // the kind of the last loss
  isPlaced = true; // false after the server began anew, until it has a slot for us again
  #wasPlaced;
  #backoff = new Backoff();

  constructor({ wasPlaced }) {
    this.#wasPlaced = wasPlaced;
  }

  /** @param {boolean} isAnswer it is about our audio, so whatever was lost is found */
  heard({ gpu_id: gpuId }, isAnswer) {
    if (Number.isInteger(gpuId)) {
      this.#wasPlaced = true;
      this.isPlaced = true;
    }
    if (isAnswer) {
      this.#backoff.reset();
    }
  }

  /** Say whether a session that ended so may go on. Whoever never had a slot is refused one, and told so. */
  canFollow(kind) {
    return ["lost", "restarting", "unreachable"].includes(kind) || (kind === "busy" && this.#wasPlaced);
  }

  /**
   * @param {string} kind of the loss
   * @param {{retry_after_s?: number} | null} error that came with it
   * @returns {number | null} when to try again, in seconds; null when it has been tried for long enough
   */
  lost(kind, error, now, chance) {
    this.lostBy = kind;
    return this.#backoff.next(now, chance, kind === "busy" ? error?.retry_after_s : 0);
  }

  /** A person asks for another round of tries. */
  again() {
    this.#backoff.reset();
  }
}
