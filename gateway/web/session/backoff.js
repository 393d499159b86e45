/** Core: when to reconnect: exponential delays with jitter, up to a limit. */

const FIRST_S = 0.3;
const MAX_S = 5;
const GIVE_UP_S = 60;

export class Backoff {
  #attempts = 0;
  #since = null; // when this outage began

  /**
   * @param {number} now seconds
   * @param {number} random 0 to 1: spreads clients that lost the same server
   * @param {number} atLeastS the server's retry_after_s
   * @returns {number | null} when the next attempt is due, in seconds; null to give up
   */
  next(now, random, atLeastS = 0) {
    this.#since ??= now;
    const ownS = Math.min(MAX_S, FIRST_S * 2 ** this.#attempts) * (0.5 + 0.5 * random);
    const due = now + Math.max(ownS, atLeastS * (1 + 0.1 * random));
    this.#attempts += 1;
    return due - this.#since <= GIVE_UP_S ? due : null;
  }

  reset() {
    this.#attempts = 0;
    this.#since = null;
  }
}
