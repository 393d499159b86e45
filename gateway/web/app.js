/** Shell: the page. A click starts a recording, a click ends it; what is said stays. */

import { Connection, socketUrl, subprotocols } from "./connection.js";
import { Exports } from "./exports.js";
import { Microphone, MicrophoneError } from "./microphone.js";
import { Panel } from "./panel.js";
import { TokenDialog } from "./token.js";
import { Transcript } from "./transcript.js";
import { TranscriptView } from "./view.js";
import * as words from "./words.js";

const SOUND_PEAK = 1e-4; // below it there is no room, however quiet: the microphone is muted
const SILENT_NOTICE_S = 4;

/** One press of the button: its microphone, its connection, and whether it still counts. */
class Recording {
  microphone = null;
  connection = null;
  microphoneStopped = false;
  lastSoundS = 0;
  hint = null; // the notice about the microphone that is on the screen and may become untrue
}

class App {
  #phase = "idle";
  #recording = null;
  #wakeLock = null;
  #transcript = new Transcript();
  #panel = new Panel({ onRecord: () => this.#toggle() });
  #token = new TokenDialog();
  #view;
  #exports;

  constructor() {
    const part = (id) => document.getElementById(id);
    this.#view = new TranscriptView(
      { scroller: part("scroller"), list: part("transcript"), empty: part("empty"), latest: part("latest") },
      this.#transcript,
    );
    this.#exports = new Exports(this.#transcript, this.#view, this.#panel);
    addEventListener("beforeunload", (event) => {
      if (this.#phase !== "idle") {
        event.preventDefault();
      }
    });
    document.addEventListener("visibilitychange", () => this.#becameVisible());
  }

  #toggle() {
    if (this.#phase === "idle") {
      this.#start();
    } else if (this.#phase === "starting") {
      this.#abandon();
    } else if (this.#phase === "recording") {
      this.#finish();
    }
  }

  async #start() {
    const recording = new Recording();
    this.#recording = recording;
    this.#setPhase("starting");
    this.#panel.hideNotice();
    this.#panel.setTime(0);
    this.#panel.setStatus("Asking for the microphone…", "busy");
    try {
      recording.microphone = await Microphone.open(this.#microphoneHandlers(recording));
    } catch (error) {
      if (!(error instanceof MicrophoneError)) {
        throw error;
      }
      if (this.#recording === recording) {
        this.#rest(words.IDLE);
        this.#notify(words.microphoneNotice(error.name));
      }
      return;
    }
    if (this.#recording !== recording) {
      this.#stopMicrophone(recording); // a second click came while the browser was asking
      return;
    }
    this.#connect(recording);
  }

  #connect(recording) {
    this.#transcript.begin(new Date());
    this.#view.beginRun();
    this.#setPhase("recording");
    this.#panel.setStatus("Connecting…", "busy");
    recording.connection = new Connection({
      url: socketUrl(location.href, { language: this.#panel.language, task: this.#panel.task }),
      protocols: subprotocols(this.#token.value),
      onMessage: (message) => this.#heard(recording, message),
      onEnd: (end) => this.#ended(recording, end),
    });
    this.#keepAwake();
  }

  #microphoneHandlers(recording) {
    return {
      onSamples: (pcm) => this.#captured(recording, pcm),
      onLevel: (peak) => this.#measured(recording, peak),
      onSuspended: (suspended) => {
        if (this.#phase === "recording") {
          this.#hint(recording, suspended ? words.MICROPHONE_SUSPENDED : null);
        }
      },
      onLost: () => {
        this.#notify(words.MICROPHONE_LOST);
        this.#finish();
      },
    };
  }

  #captured(recording, pcm) {
    if (this.#recording !== recording || recording.connection === null) {
      return;
    }
    recording.connection.send(pcm);
    const { session } = recording.connection;
    this.#transcript.lengthen(session.capturedS);
    this.#panel.setTime(session.capturedS);
    this.#panel.setBacklog(session.unsentS);
    if (session.isFull && this.#phase === "recording") {
      this.#notify(words.AUDIO_FULL);
      this.#finish();
    }
  }

  #measured(recording, peak) {
    if (this.#recording !== recording || this.#phase !== "recording") {
      return;
    }
    this.#panel.setLevel(peak);
    const now = recording.connection.session.capturedS;
    if (peak >= SOUND_PEAK) {
      recording.lastSoundS = now;
      this.#hint(recording, null);
    } else if (now - recording.lastSoundS > SILENT_NOTICE_S) {
      this.#hint(recording, words.MICROPHONE_SILENT);
    }
  }

  /** Show a notice that stays only as long as it is true. */
  #hint(recording, notice) {
    if (notice !== null && notice !== recording.hint) {
      this.#notify(notice);
    } else if (notice === null && recording.hint !== null) {
      this.#panel.hideNotice();
    }
    recording.hint = notice;
  }

  /** A message of the server. */
  #heard(recording, message) {
    if (this.#recording !== recording) {
      return;
    }
    if (message.type === "config") {
      this.#panel.describeModel(message);
    } else if (message.type === "status" && this.#phase === "recording") {
      this.#panel.setStatus(message.message, /^Ready/.test(message.message) ? "ready" : "busy");
    } else if (message.type === "moved" && this.#phase === "recording") {
      this.#panel.setStatus(`Moved to GPU ${message.gpu_id}`, "ready");
    } else if (message.type === "partial" || message.type === "final") {
      const segment = this.#transcript.apply(message);
      if (segment !== null) {
        this.#view.update(segment);
        this.#exports.refresh();
      }
    } else if (message.type === "error") {
      this.#notify(words.errorNotice(message));
    }
  }

  /** End the recording: everything recorded is sent, then the end of the audio; the server answers when it is done. */
  async #finish() {
    const recording = this.#recording;
    if (this.#phase !== "recording") {
      return;
    }
    this.#setPhase("finishing");
    this.#panel.setStatus("Finishing…", "busy");
    await this.#stopMicrophone(recording);
    recording.connection.finish();
  }

  /** Forget a recording that has not begun. */
  #abandon() {
    this.#rest(words.IDLE);
  }

  #ended(recording, end) {
    if (this.#recording !== recording) {
      return;
    }
    const { books, capturedS } = recording.connection.session;
    const notice = words.endNotice(end, this.#panel.languageName);
    const withdrawn = this.#transcript.end({ finished: end.kind === "finished" });
    withdrawn.forEach((segment) => this.#view.update(segment));
    this.#rest(words.endStatus(end, books, capturedS));
    this.#stopMicrophone(recording);
    if (notice !== null) {
      this.#notify(notice);
    } else if (end.kind === "unauthorised") {
      this.#panel.hideNotice(); // the dialog says it better than the server's message did
      this.#askForToken();
    }
  }

  async #askForToken() {
    if (await this.#token.ask()) {
      this.#start();
    }
  }

  async #stopMicrophone(recording) {
    if (!recording.microphoneStopped) {
      recording.microphoneStopped = true;
      await recording.microphone.stop();
    }
  }

  #rest(status) {
    this.#recording = null;
    this.#setPhase("idle");
    this.#panel.setStatus(status, "idle");
    this.#wakeLock?.release();
    this.#wakeLock = null;
  }

  #setPhase(phase) {
    this.#phase = phase;
    this.#panel.setPhase(phase);
  }

  #notify(notice) {
    this.#panel.showNotice(notice, notice.canRetry ? { label: "Try again", act: () => this.#toggleIfIdle() } : null);
  }

  #toggleIfIdle() {
    if (this.#phase === "idle") {
      this.#start();
    }
  }

  /** A phone that falls asleep stops recording; where the browser cannot prevent it, nothing is lost by asking. */
  async #keepAwake() {
    try {
      const lock = (await navigator.wakeLock?.request("screen")) ?? null;
      if (this.#phase === "idle") {
        lock?.release();
      } else {
        this.#wakeLock = lock;
      }
    } catch (error) {
      if (!(error instanceof DOMException)) {
        throw error;
      }
    }
  }

  #becameVisible() {
    if (document.visibilityState === "visible" && this.#phase === "recording") {
      this.#recording.microphone.resume();
      this.#keepAwake();
    }
  }
}

new App();
