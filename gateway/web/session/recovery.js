/** Core: whether and when to reconnect after a loss. */

import { Backoff } from "./backoff.js";

export class Recovery {
  lossKind = null;
  hasSlot = true; // false after the server has started a new session, until that has a slot
  #hadSlot;
  #backoff = new Backoff();

  /** @param {{hadSlot: boolean}} options whether the session has been served before */
  constructor({ hadSlot }) {
    this.#hadSlot = hadSlot;
  }

  onMessage({ gpu_id: gpuId }, isAboutAudio) {
    if (Number.isInteger(gpuId)) {
      this.#hadSlot = true;
      this.hasSlot = true;
    }
    if (isAboutAudio) {
      this.#backoff.reset();
    }
  }

  /** Return true if the session may continue. One that never had a slot is simply refused when there is none. */
  canReconnect(kind) {
    return ["lost", "restarting", "unreachable"].includes(kind) || (kind === "busy" && this.#hadSlot);
  }

  /**
   * @param {string} kind of the loss
   * @param {{retry_after_s?: number} | null} error that came with it
   * @returns {number | null} when to reconnect, in seconds; null to give up
   */
  nextAttempt(kind, error, now, random) {
    this.lossKind = kind;
    return this.#backoff.next(now, random, kind === "busy" ? error?.retry_after_s : 0);
  }

  reset() {
    this.#backoff.reset();
  }
}
