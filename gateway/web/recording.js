/** Shell: one press of the button: its microphone, its connection, and what is said about them. */

import { MicrophoneHints } from "./hints.js";

export class Recording {
  microphone = null;
  connection = null;
  languageName = ""; // the chosen language as people call it; the server may offer others now
  #isStopped = false;

  /** @param {import("./panel.js").Panel} panel */
  constructor(panel) {
    this.hints = new MicrophoneHints(panel);
  }

  get session() {
    return this.connection.session;
  }

  get link() {
    return this.session.link;
  }

  async stopMicrophone() {
    if (!this.#isStopped) {
      this.#isStopped = true;
      await this.microphone.stop();
    }
  }
}
