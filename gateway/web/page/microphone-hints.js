/** Shell: notices about a microphone that gives no sound, each shown only while it is true. */

import * as strings from "./strings.js";

const SOUND_PEAK = 1e-4; // quieter than any room: below it the microphone is muted
const SILENT_NOTICE_S = 4;

export class MicrophoneHints {
  #controls;
  #shown = null;
  #lastSoundS = null;

  /** @param {import("./controls.js").Controls} controls */
  constructor(controls) {
    this.#controls = controls;
  }

  /**
   * @param {number} peak of a block, 0 to 1
   * @param {number} nowS recorded so far; a restored recording does not start at 0
   */
  onLevel(peak, nowS) {
    this.#lastSoundS ??= nowS;
    if (peak >= SOUND_PEAK) {
      this.#lastSoundS = nowS;
      this.#show(null);
    } else if (nowS - this.#lastSoundS > SILENT_NOTICE_S) {
      this.#show(strings.MICROPHONE_SILENT);
    }
  }

  onSuspended(isSuspended) {
    this.#show(isSuspended ? strings.MICROPHONE_SUSPENDED : null);
  }

  /** Take back what is shown: recording has stopped. */
  onStop() {
    this.#show(null);
  }

  /** Forget what is shown: another notice replaces it. */
  reset() {
    this.#shown = null;
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
