/**
 * Shell: restores a recording that was not over when the page was reloaded or left. Unsent audio is sent, missed text is
 * fetched, and the microphone is opened again: without a click where the browser allows that. If no click
 * comes, or the page was away for longer, the recording is finished instead.
 */

import { Microphone, MicrophoneError, isMicrophoneAllowed } from "../audio/microphone.js";
import * as strings from "./strings.js";

const RECORD_AGAIN_WITHIN_S = 30;
// A session that waits for a click holds a slot, and the server would end it after a while.
const CLICK_WITHIN_S = 20;

export class SessionRestore {
  #page;
  #controls;
  #recording;
  #saved;
  #clickTimeout = null;
  #leftAtMs;
  #gapS = null; // for how long nothing was recorded, once the microphone runs again
  #isAnnounced = false;

  /**
   * @param {object} page see app.js
   * @param {import("./controls.js").Controls} controls
   * @param {import("./recording.js").Recording} recording
   * @param {object} saved see session-storage.js
   */
  constructor(page, controls, recording, saved) {
    this.#page = page;
    this.#controls = controls;
    this.#recording = recording;
    this.#saved = saved;
    this.#leftAtMs = Date.now() - 1_000 * saved.ageS;
  }

  /** @returns {Promise<boolean>} false: the tab of which this one is a copy still uses the session */
  async acquireLock() {
    const { id } = this.#saved;
    return id === null || (await this.#recording.lock.acquire(id));
  }

  /** Record again, or finish the recording. It must be connected. */
  async begin() {
    if (this.#saved.isOver || this.#saved.ageS > RECORD_AGAIN_WITHIN_S) {
      this.#recording.connection.finish();
      return;
    }
    const isAllowed = await isMicrophoneAllowed();
    if (this.#page.isCurrent(this.#recording)) {
      await (isAllowed ? this.#record() : this.#pause());
    }
  }

  /** Record again after the person's click. */
  async resume() {
    clearTimeout(this.#clickTimeout);
    this.#controls.hideNotice();
    await this.#record();
  }

  /** Stop waiting for the person's click. */
  cancel() {
    clearTimeout(this.#clickTimeout);
  }

  async #record() {
    const recording = this.#recording;
    this.#page.setPhase("recording");
    this.#controls.setStatus(strings.RESTORING, "busy");
    try {
      recording.microphone ??= await this.#openMicrophone();
    } catch (error) {
      if (!(error instanceof MicrophoneError)) {
        throw error;
      }
      await this.#page.finishBecause(strings.microphoneNotice(error.name));
      return;
    }
    const isRunning = await recording.microphone?.isRunning();
    if (!this.#page.isRecording(recording)) {
      return;
    }
    if (isRunning) {
      this.#gapS = (Date.now() - this.#leftAtMs) / 1_000;
      this.#page.showServerStatus(recording);
      this.announce();
    } else {
      this.#pause();
    }
  }

  /** @returns {Promise<Microphone | null>} null if the recording was ended while the browser asked */
  async #openMicrophone() {
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
    this.#controls.setStatus(strings.PAUSED, "idle");
    const action = { label: "Continue recording", act: () => this.resume() };
    this.#controls.showNotice(strings.continueNotice(CLICK_WITHIN_S), action);
    this.#clickTimeout = setTimeout(() => this.#page.finish(), CLICK_WITHIN_S * 1_000);
  }

  /** Tell the person once what became of the recording, when both the server and the microphone have answered. */
  announce() {
    const { session } = this.#recording;
    if (session.restoration !== null && session.link === "up" && this.#gapS !== null && !this.#isAnnounced) {
      this.#isAnnounced = true;
      this.#page.notify(strings.restoredNotice(session.restoration, this.#gapS));
    }
  }

  /** What is left to tell when the session has ended; null if it was told, or if nothing is missing after a stop. */
  get finalNotice() {
    const { restoration } = this.#recording.session;
    const isWhole = this.#saved.isOver && restoration?.isKnown && restoration.missingS === 0;
    return restoration === null || this.#isAnnounced || isWhole ? null : strings.restoredNotice(restoration, this.#gapS);
  }
}
