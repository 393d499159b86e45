/** Shell: keeps the screen on where the browser can: a phone that falls asleep stops recording. */

export class WakeLock {
  #isWanted = false;
  #lock = null;

  async acquire() {
    this.#isWanted = true;
    try {
      const lock = (await navigator.wakeLock?.request("screen")) ?? null;
      if (this.#isWanted) {
        this.#lock = lock;
      } else {
        lock?.release();
      }
    } catch (error) {
      if (!(error instanceof DOMException)) {
        throw error;
      }
    }
  }

  release() {
    this.#isWanted = false;
    this.#lock?.release();
    this.#lock = null;
  }
}
