/** Shell: notices about a microphone that gives no sound, each shown only while it is true. */

import * as strings from "./strings.js";

const SILENT_NOTICE_S = 4;

export class MicrophoneHints {
  #controls;
  #shown = null;
  #lastSoundS = null;
  #problem = null; // see capture-watch.js
  #isSilent = false;

  /** @param {import("./controls.js").Controls} controls */
  constructor(controls) {
    this.#controls = controls;
  }

  /**
   * @param {boolean} isSound false: the block is digital silence
   * @param {number} nowS recorded so far; a restored recording does not start at 0
   */
  onLevel(isSound, nowS) {
    this.#lastSoundS = isSound ? nowS : (this.#lastSoundS ?? nowS);
    this.#isSilent = nowS - this.#lastSoundS > SILENT_NOTICE_S;
    if (this.#problem !== "muted" || isSound) {
      this.#problem = null; // blocks come again
    }
    this.#update();
  }

  /** @param {"suspended" | "muted" | "stalled" | null} problem of the capture, which lasts until blocks come */
  onProblem(problem) {
    this.#problem = problem;
    this.#update();
  }

  /** Take back what is shown: recording has stopped. */
  onStop() {
    this.#show(null);
  }

  /** Forget what is shown: another notice replaces it. */
  reset() {
    this.#shown = null;
  }

  #update() {
    this.#show(this.#problem !== null ? strings.CAPTURE_NOTICES[this.#problem] : this.#isSilent ? strings.MICROPHONE_SILENT : null);
  }

  #show(notice) {
    if (notice !== null && notice !== this.#shown) {
      this.#controls.showNotice(notice);
    } else if (notice === null && this.#shown !== null) {
      this.#controls.hideNotice(this.#shown);
    }
    this.#shown = notice;
  }
}
