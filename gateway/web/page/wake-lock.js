/** Shell: keeps the screen on. A phone that falls asleep stops recording; where it cannot be prevented, asking is free. */

export class WakeLock {
  #isWanted = false;
  #lock = null;

  async hold() {
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
