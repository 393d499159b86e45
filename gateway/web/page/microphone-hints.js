/** Shell: what is said about a microphone that gives nothing; each notice stays only as long as it is true. */

import * as words from "./strings.js";

const SOUND_PEAK = 1e-4; // below it there is no room, however quiet: the microphone is muted
const SILENT_NOTICE_S = 4;

export class MicrophoneHints {
  #panel;
  #shown = null;
  #lastSoundS = 0;

  /** @param {import("./controls.js").Panel} panel */
  constructor(panel) {
    this.#panel = panel;
  }

  /**
   * @param {number} peak of a block, 0 to 1
   * @param {number} nowS recorded so far
   */
  measured(peak, nowS) {
    if (peak >= SOUND_PEAK) {
      this.#lastSoundS = nowS;
      this.#show(null);
    } else if (nowS - this.#lastSoundS > SILENT_NOTICE_S) {
      this.#show(words.MICROPHONE_SILENT);
    }
  }

  suspended(isSuspended) {
    this.#show(isSuspended ? words.MICROPHONE_SUSPENDED : null);
  }

  /** Another notice has taken the place. */
  forget() {
    this.#shown = null;
  }

  #show(notice) {
    if (notice !== null && notice !== this.#shown) {
      this.#panel.showNotice(notice);
    } else if (notice === null && this.#shown !== null) {
      this.#panel.hideNotice();
    }
    this.#shown = notice;
  }
}
