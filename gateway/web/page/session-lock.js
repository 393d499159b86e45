/**
 * Shell: one tab has a session. A duplicated tab, whose storage is a copy, leaves it to the first one while that lives;
 * where the browser has no locks the server's rule holds: the newest socket wins, and the other tab says so.
 */

const WAIT_MS = 1_500; // a page that is being loaded anew lets go in a moment

export class Claim {
  #ids = new Set();
  #releases = [];

  /**
   * Have a session until `release`.
   * @param {string} id of the session
   * @returns {Promise<boolean>} false: another tab has it
   */
  take(id) {
    if (navigator.locks === undefined || this.#ids.has(id)) {
      return Promise.resolve(true);
    }
    this.#ids.add(id);
    return new Promise((resolve, reject) => {
      const held = () => {
        resolve(true);
        return new Promise((release) => this.#releases.push(release));
      };
      const refused = (error) => {
        if (error instanceof DOMException) {
          resolve(error.name !== "TimeoutError"); // else locks are forbidden here, as if there were none
        } else {
          reject(error);
        }
      };
      navigator.locks.request(`session ${id}`, { signal: AbortSignal.timeout(WAIT_MS) }, held).catch(refused);
    });
  }

  release() {
    this.#releases.splice(0).forEach((release) => release());
  }
}
