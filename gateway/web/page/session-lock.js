/**
 * Shell: at most one tab uses a session. A duplicated tab has a copy of the storage, and must leave the session to the
 * original. Where the browser has no locks, the server's rule applies: the newest socket wins.
 */

const WAIT_MS = 1_500; // a page that is being reloaded releases its lock within a moment

export class SessionLock {
  #ids = new Set();
  #releases = [];

  /**
   * Hold the lock of a session until `release`.
   * @param {string} id of the session
   * @returns {Promise<boolean>} false: another tab holds it
   */
  acquire(id) {
    if (navigator.locks === undefined || this.#ids.has(id)) {
      return Promise.resolve(true);
    }
    this.#ids.add(id);
    return new Promise((resolve, reject) => {
      const onAcquired = () => {
        resolve(true);
        return new Promise((release) => this.#releases.push(release));
      };
      const onFailed = (error) => {
        if (error instanceof DOMException) {
          resolve(error.name !== "TimeoutError"); // any other: locks are forbidden here, as if there were none
        } else {
          reject(error);
        }
      };
      navigator.locks.request(`session ${id}`, { signal: AbortSignal.timeout(WAIT_MS) }, onAcquired).catch(onFailed);
    });
  }

  release() {
    this.#releases.splice(0).forEach((release) => release());
  }
}
