/** Shell: one press of the button: its microphone, its connection, and what is said about them. */

import { Claim } from "./claim.js";
import { MicrophoneHints } from "./hints.js";

export class Recording {
  microphone = null;
  connection = null;
  claim = new Claim();
  status = null; // the server's last one
  comeback = null; // if it was begun on an earlier page
  #isStopped = false;

  /** @param {import("./panel.js").Panel} panel with the choices that it is made with */
  constructor(panel) {
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

  async stopMicrophone() {
    if (!this.#isStopped) {
      this.#isStopped = true;
      await this.microphone?.stop();
    }
  }
}
