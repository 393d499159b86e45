/**
 * Shell: a recording that was not over when the page was left or loaded anew. It is taken up: what was recorded and not
 * transcribed is sent, the words that came meanwhile are fetched, and the microphone is opened again, by itself where
 * the browser allows it, else by a click; without one, or after a longer absence, the recording is brought to its end.
 */

import { Microphone, MicrophoneError, isMicrophoneAllowed } from "../audio/microphone.js";
import * as words from "./strings.js";

// A page that was away for longer than this does not record again by itself.
const GO_ON_S = 30;
// A session that waits for a click holds a slot, and its server would end it after a while.
const CONTINUE_WITHIN_S = 20;

export class Comeback {
  #page;
  #panel;
  #recording;
  #kept;
  #patience = null;
  #left;
  #goneS = null; // for how long nothing was recorded, once the microphone is open again
  #isTold = false;

  /**
   * @param {object} page what it does for a recording, see app.js
   * @param {import("./controls.js").Panel} panel
   * @param {import("./recording.js").Recording} recording
   * @param {object} kept see session-storage.js
   */
  constructor(page, panel, recording, kept) {
    this.#page = page;
    this.#panel = panel;
    this.#recording = recording;
    this.#kept = kept;
    this.#left = Date.now() - 1_000 * kept.ageS;
  }

  /** @returns {Promise<boolean>} whether this tab may have the session; a copy of a tab that lives may not */
  async claim() {
    const { id } = this.#kept;
    return id === null || (await this.#recording.claim.take(id));
  }

  /** Go on, or bring it to its end. The recording has its connection. */
  async begin() {
    if (this.#kept.isOver || this.#kept.ageS > GO_ON_S) {
      this.#recording.connection.finish();
      return;
    }
    const isAllowed = await isMicrophoneAllowed();
    if (this.#page.isOpen(this.#recording)) {
      await (isAllowed ? this.#record() : this.#pause());
    }
  }

  /** The person wants to go on. */
  async resume() {
    clearTimeout(this.#patience);
    this.#panel.hideNotice();
    await this.#record();
  }

  /** Whoever waits for the person need not wait any more. */
  end() {
    clearTimeout(this.#patience);
  }

  async #record() {
    const recording = this.#recording;
    this.#page.setPhase("recording");
    this.#panel.setStatus(words.TAKING_UP, "busy");
    try {
      recording.microphone ??= await this.#open();
    } catch (error) {
      if (!(error instanceof MicrophoneError)) {
        throw error;
      }
      await this.#page.finishBecause(words.microphoneNotice(error.name));
      return;
    }
    const hasBegun = await recording.microphone?.hasBegun();
    if (!this.#page.isRecording(recording)) {
      return;
    }
    if (hasBegun) {
      this.#goneS = (Date.now() - this.#left) / 1_000;
      this.#page.showServerStatus(recording);
      this.told();
    } else {
      this.#pause();
    }
  }

  /** @returns {Promise<Microphone | null>} null when the recording was ended while the browser was asked */
  async #open() {
    const recording = this.#recording;
    const microphone = await Microphone.open(recording.microphoneHandlers);
    if (this.#page.isRecording(recording)) {
      return microphone;
    }
    await microphone.stop();
    return null;
  }

  #pause() {
    this.#page.setPhase("paused");
    this.#panel.setStatus(words.PAUSED, "idle");
    this.#panel.showNotice(words.continueNotice(CONTINUE_WITHIN_S), { label: "Continue recording", act: () => this.resume() });
    this.#patience = setTimeout(() => this.#page.finish(), CONTINUE_WITHIN_S * 1_000);
  }

  /** Say once what became of the recording, when both the server and the microphone have answered. */
  told() {
    const { session } = this.#recording;
    if (session.comeback !== null && session.link === "up" && this.#goneS !== null && !this.#isTold) {
      this.#isTold = true;
      this.#page.notify(words.comebackNotice(session.comeback, this.#goneS));
    }
  }

  /** What there is still to say at the end; null when all is said, or the end was asked for and is whole. */
  get lastNotice() {
    const { comeback } = this.#recording.session;
    const isWhole = this.#kept.isOver && comeback?.isKnown && comeback.missingS === 0;
    return comeback === null || this.#isTold || isWhole ? null : words.comebackNotice(comeback, this.#goneS);
  }
}
