/**
 * Core: tells when a microphone gives nothing any more though it was never said to have ended: the browser keeps the audio
 * suspended, the system mutes the device, or blocks simply stop. It counts its own ticks and reads no clock, so that a
 * computer that slept has missed nothing.
 */

/** How often `onTick` is to be called, in seconds. */
export const TICK_S = 1;

const MISSED_TICKS = 3; // so that a problem is told within four seconds, and a busy browser's pause is none

export class CaptureWatch {
  #isSuspended = false;
  #isMuted = false;
  #withoutBlock = 0; // ticks
  #withoutSound = 0; // ticks, while the device says that it is muted

  /** @param {boolean} isSound false: digital silence, which muted devices give */
  onBlock(isSound) {
    this.#withoutBlock = 0;
    if (isSound) {
      this.#withoutSound = 0;
    }
  }

  /** Note whether the browser has suspended the audio. */
  setSuspended(isSuspended) {
    this.#isSuspended = isSuspended;
  }

  /** Note whether the device says that it is muted. */
  setMuted(isMuted) {
    this.#isMuted = isMuted;
    this.#withoutSound = 0;
  }

  onTick() {
    this.#withoutBlock += 1;
    this.#withoutSound += 1;
  }

  /** @returns {"suspended" | "muted" | "stalled" | null} what is wrong; stalled: no reason is known */
  get problem() {
    if (this.#withoutBlock >= MISSED_TICKS && this.#isSuspended) {
      return "suspended";
    }
    if (this.#isMuted && Math.max(this.#withoutBlock, this.#withoutSound) >= MISSED_TICKS) {
      return "muted";
    }
    return this.#withoutBlock >= MISSED_TICKS ? "stalled" : null;
  }
}
