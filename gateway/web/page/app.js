/** Shell: the page. A click starts a recording, a click ends it; what is said stays. */

import { Comeback } from "./session-restore.js";
import { Connection, socketUrl, subprotocols } from "../session/connection.js";
import { Exports } from "./exports.js";
import { Keeper, discard, keep, takeKept } from "./session-storage.js";
import { Microphone, MicrophoneError } from "../audio/microphone.js";
import { Panel } from "./controls.js";
import { Recording } from "./recording.js";
import { TokenDialog } from "./token-dialog.js";
import { Transcript } from "../session/transcript.js";
import { TranscriptView } from "./transcript-view.js";
import { WakeLock } from "./wake-lock.js";
import * as words from "./strings.js";

class App {
  #phase = "idle";
  #recording = null;
  #unsent = null; // a recording that is over, with audio that the server has not got yet
  #wakeLock = new WakeLock();
  #transcript = new Transcript();
  #panel = new Panel({ onRecord: () => this.#toggle() });
  #token = new TokenDialog();
  #view;
  #keeper;
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
    this.#keeper = new Keeper({
      keep: () => this.#keep(),
      leave: () => (this.#recording ?? this.#unsent)?.connection?.leave(),
      isBusy: () => this.#phase !== "idle",
    });
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
    addEventListener("online", () => this.#retry());
    this.#revive(takeKept());
  }

  /** Show what the page had before it was loaded anew, and go on with a session that was not over. */
  #revive({ runs, session }) {
    for (const [i, run] of runs.entries()) {
      const goesOn = session !== null && i === runs.length - 1;
      const segments = this.#transcript.revive(run, { goesOn });
      this.#view.beginRun();
      segments.forEach((segment) => this.#view.update(segment));
    }
    this.#exports.refresh();
    if (session !== null) {
      this.#takeUp(session);
    }
  }

  async #takeUp(kept) {
    this.#panel.choose(kept.choices);
    const recording = new Recording(this, this.#panel, this.#transcript);
    recording.choices = kept.choices;
    recording.comeback = new Comeback(this, this.#panel, recording, kept);
    this.#recording = recording;
    this.setPhase("finishing");
    this.#panel.setStatus(words.TAKING_UP, "busy");
    if (!(await recording.comeback.claim())) {
      discard();
      this.#transcript.end({ finished: false });
      this.#rest(words.IDLE);
      this.notify(words.ELSEWHERE);
      return;
    }
    if (this.#transcript.runs.length === 0) {
      this.#beginRun(); // there was no room to keep it: the server says all of it again
    }
    this.#connect(recording, kept);
    this.#panel.setTime(recording.session.capturedS);
    await recording.comeback.begin();
  }

  #keep() {
    const open = this.#recording ?? this.#unsent;
    if (open === null || open.connection !== null || open.comeback === null) {
      keep(this.#transcript, open?.session, open?.choices);
    } // else what is kept waits to be taken up
  }

  #toggle() {
    if (this.#phase === "idle" && this.#unsent !== null) {
      const act = () => this.#start();
      this.#panel.showNotice(words.discardNotice(this.#unsent.session), { label: "Record anew", act });
    } else if (this.#phase === "idle") {
      this.#start();
    } else if (this.#phase === "starting") {
      this.#abandon();
    } else if (this.#phase === "paused") {
      this.#recording.comeback.resume();
    } else if (this.#phase === "recording") {
      this.finish();
    }
  }

  async #start() {
    const recording = new Recording(this, this.#panel, this.#transcript);
    this.#recording = recording;
    this.#dropUnsent();
    this.setPhase("starting");
    this.#panel.hideNotice();
    this.#panel.setTime(0);
    this.#panel.setStatus("Asking for the microphone…", "busy");
    try {
      recording.microphone = await Microphone.open(recording.microphoneHandlers);
    } catch (error) {
      if (!(error instanceof MicrophoneError)) {
        throw error;
      }
      if (this.#recording === recording) {
        this.#rest(words.IDLE);
        this.notify(words.microphoneNotice(error.name));
      }
      return;
    }
    if (this.#recording !== recording) {
      recording.stopMicrophone(); // a second click came while the browser was asking
      return;
    }
    this.#beginRun();
    this.setPhase("recording");
    this.#panel.setStatus("Connecting…", "busy");
    this.#connect(recording);
  }

  #dropUnsent() {
    this.#unsent?.claim.release();
    this.#unsent = null;
    discard();
  }

  #beginRun() {
    this.#transcript.begin(new Date());
    this.#view.beginRun();
  }

  #connect(recording, kept = null) {
    recording.connection = new Connection({
      kept,
      url: socketUrl(location.href, recording.choices),
      protocols: subprotocols(this.#token.value),
      onMessage: (message) => this.#heard(recording, message),
      onLink: (link) => this.#linked(recording, link),
      onEnd: (end) => this.#ended(recording, end),
    });
    this.#wakeLock.hold();
  }

  /** A message of the server. */
  #heard(recording, message) {
    if (this.#recording !== recording) {
      return;
    }
    const isUp = recording.link === "up";
    if (message.type === "config") {
      this.#greeted(recording, message);
    } else if (message.type === "status" && isUp) {
      recording.status = message.message;
      this.showServerStatus(recording);
    } else if (message.type === "moved" && this.#phase === "recording") {
      this.#panel.passStatus(`Moved to GPU ${message.gpu_id}`);
    } else if (message.type === "partial" || message.type === "final") {
      this.#transcript.apply(message).forEach((segment) => this.#view.update(segment));
      this.#exports.refresh();
    } else if (message.type === "error" && isUp) {
      this.notify(words.errorNotice(message));
    }
  }

  #greeted(recording, config) {
    this.#panel.describeModel(config);
    if (typeof config.session === "string") {
      recording.claim.take(config.session);
    }
    const { comeback } = recording.session;
    if (comeback !== null && comeback.missingS > 0 && !comeback.isKnown) {
      this.#transcript.settle();
    }
  }

  /** Show what the server says of its slots, while that is of interest. */
  showServerStatus(recording) {
    if (this.isRecording(recording) && recording.status !== null) {
      this.#panel.followStatus(recording.status, /^Ready/.test(recording.status) ? "ready" : "busy");
    }
  }

  isOpen(recording) {
    return this.#recording === recording;
  }

  isRecording(recording) {
    return this.#recording === recording && this.#phase === "recording";
  }

  /** End the recording: everything recorded is sent, then the end of the audio; the server answers when it is done. */
  async finish() {
    const recording = this.#recording;
    if (this.#phase !== "recording" && this.#phase !== "paused") {
      return;
    }
    if (this.#phase === "paused") {
      recording.comeback.end();
      this.#panel.hideNotice();
    }
    this.setPhase("finishing");
    this.#panel.setStatus(recording.link === "up" ? words.FINISHING : words.waitingStatus(recording.link), "busy");
    await recording.stopMicrophone();
    recording.connection.finish();
  }

  async finishBecause(notice) {
    await this.finish();
    this.notify(notice);
  }

  /** The connection is lost, found again, or has been looked for in vain. */
  #linked(recording, link) {
    if (this.#recording !== recording || this.#phase === "paused") {
      return;
    }
    const isRecording = this.#phase === "recording";
    recording.hints.forget();
    this.#panel.hideNotice();
    if (link === "down" || link === "queued") {
      this.#panel.setStatus(words.waitingStatus(link), "busy");
    } else if (link === "stranded" && isRecording) {
      this.#panel.setStatus(words.STRANDED, "busy");
      this.notify(words.strandedNotice(recording.session), () => this.#retry());
    } else if (link === "stranded") {
      this.#setAside(recording);
    } else if (isRecording) {
      this.#panel.passStatus(words.RECONNECTED);
      recording.comeback?.told();
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
    this.notify(words.unsentNotice(session), () => this.#retry());
  }

  /** Look for the connection now: a person asks for it, or the browser says that the network is back. */
  #retry() {
    if (this.#unsent !== null) {
      this.#recording = this.#unsent;
      this.#unsent = null;
      this.setPhase("finishing");
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
    const notice = words.endNotice(end, recording.languageName) ?? recording.comeback?.lastNotice ?? null;
    discard();
    recording.claim.release();
    recording.comeback?.end();
    const withdrawn = this.#transcript.end({ finished: end.kind === "finished" });
    withdrawn.forEach((segment) => this.#view.update(segment));
    this.#rest(words.endStatus(end, books, capturedS));
    recording.stopMicrophone();
    if (notice !== null) {
      this.notify(notice);
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
    this.setPhase("idle");
    this.#panel.setStatus(status, "idle");
    this.#wakeLock.release();
  }

  setPhase(phase) {
    this.#phase = phase;
    this.#panel.setPhase(phase);
  }

  notify(notice, act = notice.canRetry ? () => this.#toggleIfIdle() : null) {
    this.#panel.showNotice(notice, act === null ? null : { label: "Try again", act });
  }

  #toggleIfIdle() {
    if (this.#phase === "idle") {
      this.#start();
    }
  }

  #visibilityChanged() {
    if (document.visibilityState === "hidden") {
      this.#keeper.now(); // a phone's browser may end the page then, without a word
    } else if (this.#phase === "recording") {
      this.#recording.microphone?.resume();
      this.#recording.connection.retry();
      this.#wakeLock.hold();
    }
  }
}

new App();
