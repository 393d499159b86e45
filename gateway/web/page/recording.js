/** Shell: one recording: its microphone, its connection, and what the page shows of them. */

import { MicrophoneHints } from "./microphone-hints.js";
import { SessionLock } from "./session-lock.js";
import * as strings from "./strings.js";

export class Recording {
  microphone = null;
  connection = null;
  lock = new SessionLock();
  status = null; // the server's latest status message
  restore = null; // a SessionRestore, if an earlier page began the recording
  #page;
  #controls;
  #transcript;
  #isStopped = false;

  /**
   * @param {object} page see app.js
   * @param {import("./controls.js").Controls} controls
   * @param {import("../session/transcript.js").Transcript} transcript
   */
  constructor(page, controls, transcript) {
    this.#page = page;
    this.#controls = controls;
    this.#transcript = transcript;
    this.hints = new MicrophoneHints(controls);
    this.choices = { language: controls.language, task: controls.task };
    this.languageName = controls.languageName; // now: the list may have changed when a notice needs it
  }

  get session() {
    return this.connection?.session;
  }

  get link() {
    return this.session.link;
  }

  get microphoneHandlers() {
    return {
      onSamples: (pcm) => this.#onSamples(pcm),
      onLevel: (peak, isSound) => this.#onLevel(peak, isSound),
      onProblem: (problem) => {
        if (this.#page.isRecording(this) && this.microphone !== null) {
          this.hints.onProblem(problem);
          if (problem !== null) {
            this.#controls.setLevel(0);
          }
        }
      },
      onLost: () => this.#page.finishBecause(strings.MICROPHONE_LOST),
    };
  }

  async stopMicrophone() {
    if (!this.#isStopped) {
      this.#isStopped = true;
      this.hints.onStop();
      await this.microphone?.stop();
    }
  }

  #onSamples(pcm) {
    if (!this.#page.isCurrent(this) || this.connection === null) {
      return;
    }
    this.connection.send(pcm);
    const { session } = this;
    this.#transcript.setDuration(session.capturedS);
    this.#controls.setTime(session.capturedS);
    this.#controls.setBacklog(session.unsentS, session.link === "up");
    if (session.isFull && this.#page.isRecording(this)) {
      this.#page.finishBecause(strings.AUDIO_FULL);
    }
  }

  #onLevel(peak, isSound) {
    if (this.#page.isRecording(this)) {
      this.#controls.setLevel(peak);
      this.hints.onLevel(isSound, this.session.capturedS);
    }
  }
}
