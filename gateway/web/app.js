/** Shell: the page. A click starts a recording, a click ends it; what is said stays. */

import { Connection, socketUrl, subprotocols } from "./connection.js";
import { Exports } from "./exports.js";
import { keep, takeKept } from "./keepsake.js";
import { Microphone, MicrophoneError } from "./microphone.js";
import { Panel } from "./panel.js";
import { Recording } from "./recording.js";
import { TokenDialog } from "./token.js";
import { Transcript } from "./transcript.js";
import { TranscriptView } from "./view.js";
import { WakeLock } from "./wakelock.js";
import * as words from "./words.js";

class App {
  #phase = "idle";
  #recording = null;
  #unsent = null; // a recording that is over, with audio that the server has not got yet
  #wakeLock = new WakeLock();
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
      if (this.#phase !== "idle" || this.#unsent !== null) {
        event.preventDefault();
      }
    });
    addEventListener("pagehide", () => keep(this.#transcript, (this.#recording ?? this.#unsent)?.connection?.session));
    document.addEventListener("visibilitychange", () => this.#becameVisible());
    addEventListener("online", () => this.#retry());
    this.#revive(takeKept());
  }

  /** Show what the page had before it was loaded anew. */
  #revive({ runs, pendingS }) {
    for (const run of runs) {
      const segments = this.#transcript.revive(run);
      this.#view.beginRun();
      segments.forEach((segment) => this.#view.update(segment));
    }
    this.#exports.refresh();
    if (pendingS > 0) {
      this.#notify(words.reloadedNotice(pendingS));
    }
  }

  #toggle() {
    if (this.#phase === "idle" && this.#unsent !== null) {
      const act = () => this.#start();
      this.#panel.showNotice(words.discardNotice(this.#unsent.session), { label: "Record anew", act });
    } else if (this.#phase === "idle") {
      this.#start();
    } else if (this.#phase === "starting") {
      this.#abandon();
    } else if (this.#phase === "recording") {
      this.#finish();
    }
  }

  async #start() {
    const recording = new Recording(this.#panel);
    this.#recording = recording;
    this.#unsent = null;
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
      recording.stopMicrophone(); // a second click came while the browser was asking
      return;
    }
    this.#connect(recording);
  }

  #connect(recording) {
    this.#transcript.begin(new Date());
    this.#view.beginRun();
    this.#setPhase("recording");
    this.#panel.setStatus("Connecting…", "busy");
    recording.languageName = this.#panel.languageName;
    recording.connection = new Connection({
      url: socketUrl(location.href, { language: this.#panel.language, task: this.#panel.task }),
      protocols: subprotocols(this.#token.value),
      onMessage: (message) => this.#heard(recording, message),
      onLink: (link) => this.#linked(recording, link),
      onEnd: (end) => this.#ended(recording, end),
    });
    this.#wakeLock.hold();
  }

  #microphoneHandlers(recording) {
    return {
      onSamples: (pcm) => this.#captured(recording, pcm),
      onLevel: (peak) => this.#measured(recording, peak),
      onSuspended: (suspended) => {
        if (this.#phase === "recording") {
          recording.hints.suspended(suspended);
        }
      },
      onLost: () => {
        this.#finishBecause(words.MICROPHONE_LOST);
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
    this.#panel.setBacklog(session.unsentS, session.link === "up");
    if (session.isFull && this.#phase === "recording") {
      this.#finishBecause(words.AUDIO_FULL);
    }
  }

  #measured(recording, peak) {
    if (this.#recording !== recording || this.#phase !== "recording") {
      return;
    }
    this.#panel.setLevel(peak);
    recording.hints.measured(peak, recording.session.capturedS);
  }

  /** A message of the server. */
  #heard(recording, message) {
    if (this.#recording !== recording) {
      return;
    }
    const isUp = recording.link === "up";
    if (message.type === "config") {
      this.#panel.describeModel(message);
    } else if (message.type === "status" && this.#phase === "recording" && isUp) {
      this.#panel.followStatus(message.message, /^Ready/.test(message.message) ? "ready" : "busy");
    } else if (message.type === "moved" && this.#phase === "recording") {
      this.#panel.passStatus(`Moved to GPU ${message.gpu_id}`);
    } else if (message.type === "partial" || message.type === "final") {
      this.#transcript.apply(message).forEach((segment) => this.#view.update(segment));
      this.#exports.refresh();
    } else if (message.type === "error" && isUp) {
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
    this.#panel.setStatus(recording.link === "up" ? words.FINISHING : words.waitingStatus(recording.link), "busy");
    await recording.stopMicrophone();
    recording.connection.finish();
  }

  async #finishBecause(notice) {
    await this.#finish();
    this.#notify(notice);
  }

  /** The connection is lost, found again, or has been looked for in vain. */
  #linked(recording, link) {
    if (this.#recording !== recording) {
      return;
    }
    const isRecording = this.#phase === "recording";
    recording.hints.forget();
    this.#panel.hideNotice();
    if (link === "down" || link === "queued") {
      this.#panel.setStatus(words.waitingStatus(link), "busy");
    } else if (link === "stranded" && isRecording) {
      this.#panel.setStatus(words.STRANDED, "busy");
      this.#notify(words.strandedNotice(recording.session), () => this.#retry());
    } else if (link === "stranded") {
      this.#setAside(recording);
    } else if (isRecording) {
      this.#panel.passStatus(words.RECONNECTED);
    } else {
      this.#panel.setStatus(words.FINISHING, "busy");
    }
  }

  /** Leave a recording that is over and cannot be sent: it waits here for a better network. */
  #setAside(recording) {
    const { session } = recording.connection;
    this.#transcript.end({ finished: false });
    this.#rest(words.unsentStatus(session));
    this.#unsent = recording;
    this.#notify(words.unsentNotice(session), () => this.#retry());
  }

  /** Look for the connection now: a person asks for it, or the browser says that the network is back. */
  #retry() {
    if (this.#unsent !== null) {
      this.#recording = this.#unsent;
      this.#unsent = null;
      this.#setPhase("finishing");
    }
    this.#recording?.connection?.retry();
  }

  /** Forget a recording that has not begun. */
  #abandon() {
    this.#rest(words.IDLE);
  }

  #ended(recording, end) {
    if (this.#recording !== recording) {
      return;
    }
    const { books, capturedS } = recording.session;
    const notice = words.endNotice(end, recording.languageName);
    const withdrawn = this.#transcript.end({ finished: end.kind === "finished" });
    withdrawn.forEach((segment) => this.#view.update(segment));
    this.#rest(words.endStatus(end, books, capturedS));
    recording.stopMicrophone();
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

  #rest(status) {
    this.#recording = null;
    this.#setPhase("idle");
    this.#panel.setStatus(status, "idle");
    this.#wakeLock.release();
  }

  #setPhase(phase) {
    this.#phase = phase;
    this.#panel.setPhase(phase);
  }

  #notify(notice, act = notice.canRetry ? () => this.#toggleIfIdle() : null) {
    this.#panel.showNotice(notice, act === null ? null : { label: "Try again", act });
  }

  #toggleIfIdle() {
    if (this.#phase === "idle") {
      this.#start();
    }
  }

  #becameVisible() {
    if (document.visibilityState === "visible" && this.#phase === "recording") {
      this.#recording.microphone.resume();
      this.#recording.connection.retry();
      this.#wakeLock.hold();
    }
  }
}

new App();
