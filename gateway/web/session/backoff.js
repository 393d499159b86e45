/** Core: when to try the network again: at once, then ever less often, never all clients together, and not for ever. */

const FIRST_S = 0.3;
const MOST_S = 5;
const GIVE_UP_S = 60;

export class Backoff {
  #tries = 0;
  #since = null; // when the first try of this outage was asked for

  /**
   * @param {number} now seconds
   * @param {number} chance 0 to 1, drawn anew each time
   * @param {number} atLeastS what the server asked for
   * @returns {number | null} when the next try is due, in seconds; null when it has been tried for long enough
   */
  next(now, chance, atLeastS = 0) {
    this.#since ??= now;
    const ownS = Math.min(MOST_S, FIRST_S * 2 ** this.#tries) * (0.5 + 0.5 * chance);
    const due = now + Math.max(ownS, atLeastS * (1 + 0.1 * chance));
    this.#tries += 1;
    return due - this.#since <= GIVE_UP_S ? due : null;
  }

  /** The outage is over, or a person asks for another round. */
  reset() {
    this.#tries = 0;
    this.#since = null;
  }
}
