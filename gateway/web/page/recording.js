/** Shell: one press of the button: its microphone, its connection, and what is said about them. */

import { Claim } from "./session-lock.js";
import { MicrophoneHints } from "./microphone-hints.js";
import * as words from "./strings.js";

export class Recording {
  microphone = null;
  connection = null;
  claim = new Claim();
  status = null; // the server's last one
  comeback = null; // if it was begun on an earlier page
  #page;
  #panel;
  #transcript;
  #isStopped = false;

  /**
   * @param {object} page which recording it has, and how that ends, see app.js
   * @param {import("./controls.js").Panel} panel with the choices that it is made with
   * @param {import("../session/transcript.js").Transcript} transcript
   */
  constructor(page, panel, transcript) {
    this.#page = page;
    this.#panel = panel;
    this.#transcript = transcript;
    this.hints = new MicrophoneHints(panel);
    this.choices = { language: panel.language, task: panel.task };
    // As people call it; the server may offer others by the end.
    this.languageName = panel.languageName;
  }

  get session() {
    return this.connection?.session;
  }

  get link() {
    return this.session.link;
  }

  /** What the microphone calls. */
  get microphoneHandlers() {
    return {
      onSamples: (pcm) => this.#captured(pcm),
      onLevel: (peak) => this.#measured(peak),
      onSuspended: (suspended) => {
        if (this.#page.isRecording(this) && this.microphone !== null) {
          this.hints.suspended(suspended);
        }
      },
      onLost: () => this.#page.finishBecause(words.MICROPHONE_LOST),
    };
  }

  async stopMicrophone() {
    if (!this.#isStopped) {
      this.#isStopped = true;
      await this.microphone?.stop();
    }
  }

  #captured(pcm) {
    if (!this.#page.isOpen(this) || this.connection === null) {
      return;
    }
    this.connection.send(pcm);
    const { session } = this;
    this.#transcript.lengthen(session.capturedS);
    this.#panel.setTime(session.capturedS);
    this.#panel.setBacklog(session.unsentS, session.link === "up");
    if (session.isFull && this.#page.isRecording(this)) {
      this.#page.finishBecause(words.AUDIO_FULL);
    }
  }

  #measured(peak) {
    if (this.#page.isRecording(this)) {
      this.#panel.setLevel(peak);
      this.hints.measured(peak, this.session.capturedS);
    }
  }
}
