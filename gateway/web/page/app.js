/** Shell: the page. A click starts a recording, another one ends it; the transcript stays. */

import { Microphone, MicrophoneError } from "../audio/microphone.js";
import { Connection, socketUrl, subprotocols } from "../session/connection.js";
import { isReady } from "../session/messages.js";
import { Transcript } from "../session/transcript.js";
import { Controls } from "./controls.js";
import { Exports } from "./exports.js";
import { Recording } from "./recording.js";
import { SessionRestore } from "./session-restore.js";
import { AutoSave, discardSession, loadState, saveState } from "./session-storage.js";
import * as strings from "./strings.js";
import { TokenDialog } from "./token-dialog.js";
import { TranscriptView } from "./transcript-view.js";
import { WakeLock } from "./wake-lock.js";

class App {
  #phase = "idle";
  #recording = null;
  #unsent = null; // a recording that has ended, with audio that the server has not received yet
  #wakeLock = new WakeLock();
  #transcript = new Transcript();
  #controls = new Controls({ onRecord: () => this.#onRecordClick() });
  #token = new TokenDialog();
  #view;
  #autoSave;
  #exports;

  constructor() {
    const byId = (id) => document.getElementById(id);
    this.#view = new TranscriptView(
      { scroller: byId("scroller"), list: byId("transcript"), empty: byId("empty"), latest: byId("latest") },
      this.#transcript,
    );
    this.#exports = new Exports(this.#transcript, this.#view, this.#controls);
    addEventListener("beforeunload", (event) => {
      if (this.#phase !== "idle" || this.#unsent !== null) {
        event.preventDefault();
      }
    });
    this.#autoSave = new AutoSave({
      save: () => this.#save(),
      detach: () => (this.#recording ?? this.#unsent)?.connection?.detach(),
      isBusy: () => this.#phase !== "idle",
    });
    document.addEventListener("visibilitychange", () => this.#onVisibilityChange());
    addEventListener("online", () => this.#retry());
    addEventListener("pointerdown", () => this.#recording?.microphone?.resume(), { capture: true });
    this.#restore(loadState());
  }

  /** Show the transcript from before a reload, and resume the session if it was not over. */
  #restore({ runs, session }) {
    for (const [i, run] of runs.entries()) {
      const isOver = session === null || i < runs.length - 1;
      const segments = this.#transcript.restoreRun(run, { isOver });
      this.#view.beginRun();
      segments.forEach((segment) => this.#view.update(segment));
    }
    this.#exports.refresh();
    if (session !== null) {
      this.#restoreSession(session);
    }
  }

  async #restoreSession(saved) {
    this.#controls.setChoices(saved.choices);
    const recording = new Recording(this, this.#controls, this.#transcript);
    recording.choices = saved.choices;
    recording.restore = new SessionRestore(this, this.#controls, recording, saved);
    this.#recording = recording;
    this.setPhase("finishing");
    this.#controls.setStatus(strings.RESTORING, "busy");
    if (!(await recording.restore.acquireLock())) {
      discardSession();
      this.#transcript.endRun({ finished: false });
      this.#becomeIdle(strings.IDLE);
      this.notify(strings.IN_ANOTHER_TAB);
      return;
    }
    if (this.#transcript.runs.length === 0) {
      this.#beginRun(); // there was no room to save the text: the server sends all of it again
    }
    this.#connect(recording, saved);
    this.#controls.setTime(recording.session.capturedS);
    await recording.restore.begin();
  }

  #save() {
    const open = this.#recording ?? this.#unsent;
    // Before it is connected, a restored session is in the storage already, and only there.
    if (open === null || open.connection !== null || open.restore === null) {
      saveState(this.#transcript, open?.session, open?.choices);
    }
  }

  #onRecordClick() {
    if (this.#phase === "idle" && this.#unsent !== null) {
      const act = () => this.#start();
      this.#controls.showNotice(strings.discardNotice(this.#unsent.session), { label: "Record anew", act });
    } else if (this.#phase === "idle") {
      this.#start();
    } else if (this.#phase === "starting") {
      this.#becomeIdle(strings.IDLE);
    } else if (this.#phase === "paused") {
      this.#recording.restore.resume();
    } else if (this.#phase === "recording") {
      this.finish();
    }
  }

  async #start() {
    const recording = new Recording(this, this.#controls, this.#transcript);
    this.#recording = recording;
    this.#discardUnsent();
    this.setPhase("starting");
    this.#controls.hideNotice();
    this.#controls.setTime(0);
    this.#controls.setStatus("Asking for the microphone…", "busy");
    try {
      recording.microphone = await Microphone.open(recording.microphoneHandlers);
    } catch (error) {
      if (!(error instanceof MicrophoneError)) {
        throw error;
      }
      if (this.isCurrent(recording)) {
        this.#becomeIdle(strings.IDLE);
        this.notify(strings.microphoneNotice(error.name));
      }
      return;
    }
    if (!this.isCurrent(recording)) {
      recording.stopMicrophone(); // a second click cancelled it while the browser was asking
      return;
    }
    this.#beginRun();
    this.setPhase("recording");
    this.#controls.setStatus("Connecting…", "busy");
    this.#connect(recording);
  }

  #discardUnsent() {
    this.#unsent?.lock.release();
    this.#unsent = null;
    discardSession();
  }

  #beginRun() {
    this.#transcript.beginRun(new Date());
    this.#view.beginRun();
  }

  #connect(recording, checkpoint = null) {
    recording.connection = new Connection({
      checkpoint,
      url: socketUrl(location.href, recording.choices),
      protocols: subprotocols(this.#token.value),
      onMessage: (message) => this.#onMessage(recording, message),
      onLink: (link) => this.#onLink(recording, link),
      onEnd: (end) => this.#onEnd(recording, end),
    });
    this.#wakeLock.acquire();
  }

  #onMessage(recording, message) {
    if (!this.isCurrent(recording)) {
      return;
    }
    const isUp = recording.link === "up";
    if (message.type === "config") {
      this.#onConfig(recording, message);
    } else if (message.type === "status" && isUp) {
      recording.status = message;
      this.showServerStatus(recording);
    } else if (message.type === "moved" && this.#phase === "recording") {
      this.#controls.flashStatus(`Moved to GPU ${message.gpu_id}`);
    } else if (message.type === "partial" || message.type === "final") {
      this.#transcript.apply(message).forEach((segment) => this.#view.update(segment));
      this.#exports.refresh();
    } else if (message.type === "error" && isUp) {
      this.notify(strings.errorNotice(message));
    }
  }

  #onConfig(recording, config) {
    this.#controls.showModel(config);
    if (typeof config.session === "string") {
      recording.lock.acquire(config.session);
    }
    const { restoration } = recording.session;
    if (restoration !== null && restoration.missingS > 0 && !restoration.isKnown) {
      this.#transcript.finalizeOpen();
    }
  }

  showServerStatus(recording) {
    if (this.isRecording(recording) && recording.status !== null) {
      this.#controls.setStatusAfterFlash(recording.status.message, isReady(recording.status) ? "ready" : "busy");
    }
  }

  isCurrent(recording) {
    return this.#recording === recording;
  }

  isRecording(recording) {
    return this.#recording === recording && this.#phase === "recording";
  }

  /** Stop recording: send everything recorded and the end of the audio; the server answers when it is done. */
  async finish() {
    const recording = this.#recording;
    if (this.#phase !== "recording" && this.#phase !== "paused") {
      return;
    }
    if (this.#phase === "paused") {
      recording.restore.cancel();
      this.#controls.hideNotice();
    }
    this.setPhase("finishing");
    this.#controls.setStatus(recording.link === "up" ? strings.FINISHING : strings.waitingStatus(recording.link), "busy");
    await recording.stopMicrophone();
    recording.connection.finish();
  }

  async finishBecause(notice) {
    await this.finish();
    this.notify(notice);
  }

  #onLink(recording, link) {
    if (!this.isCurrent(recording) || this.#phase === "paused") {
      return;
    }
    const isRecording = this.#phase === "recording";
    recording.hints.reset();
    this.#controls.hideNotice();
    if (link === "down" || link === "queued") {
      this.#controls.setStatus(strings.waitingStatus(link), "busy");
    } else if (link === "gave-up" && isRecording) {
      this.#controls.setStatus(strings.GAVE_UP, "busy");
      this.notify(strings.gaveUpNotice(recording.session), () => this.#retry());
    } else if (link === "gave-up") {
      this.#keepUnsent(recording);
    } else if (isRecording) {
      this.#controls.flashStatus(strings.RECONNECTED);
      recording.restore?.announce();
    } else {
      this.#controls.setStatus(strings.FINISHING, "busy");
    }
  }

  /** Keep a finished recording that cannot be sent now, until the network is back or a person retries. */
  #keepUnsent(recording) {
    const { session } = recording.connection;
    this.#transcript.endRun({ finished: false });
    this.#becomeIdle(strings.unsentStatus(session));
    this.#unsent = recording;
    this.notify(strings.unsentNotice(session), () => this.#retry());
  }

  /** Reconnect now, also for a recording that was kept unsent. */
  #retry() {
    if (this.#unsent !== null) {
      this.#recording = this.#unsent;
      this.#unsent = null;
      this.setPhase("finishing");
    }
    this.#recording?.connection?.retry();
  }

  #onEnd(recording, end) {
    if (!this.isCurrent(recording)) {
      return;
    }
    const { audioAccounting, capturedS } = recording.session;
    const notice = strings.endNotice(end, recording.languageName) ?? recording.restore?.finalNotice ?? null;
    discardSession();
    recording.lock.release();
    recording.restore?.cancel();
    const withdrawn = this.#transcript.endRun({ finished: end.kind === "finished" });
    withdrawn.forEach((segment) => this.#view.update(segment));
    this.#becomeIdle(strings.endStatus(end, audioAccounting, capturedS));
    recording.stopMicrophone();
    if (notice !== null) {
      this.notify(notice);
    } else if (end.kind === "unauthorised") {
      this.#controls.hideNotice(); // the dialog replaces the server's message
      this.#askForToken();
    }
  }

  async #askForToken() {
    if (await this.#token.ask()) {
      this.#start();
    }
  }

  #becomeIdle(status) {
    this.#recording = null;
    this.setPhase("idle");
    this.#controls.setStatus(status, "idle");
    this.#wakeLock.release();
  }

  setPhase(phase) {
    this.#phase = phase;
    this.#controls.setPhase(phase);
  }

  notify(notice, act = notice.canRetry ? () => this.#startIfIdle() : null) {
    this.#controls.showNotice(notice, act === null ? null : { label: "Try again", act });
  }

  #startIfIdle() {
    if (this.#phase === "idle") {
      this.#start();
    }
  }

  #onVisibilityChange() {
    if (document.visibilityState === "hidden") {
      this.#autoSave.saveNow(); // a phone's browser may kill the hidden page without another event
    } else if (this.#phase === "recording") {
      this.#recording.microphone?.resume();
      this.#recording.connection.retry();
      this.#wakeLock.acquire();
    }
  }
}

new App();
