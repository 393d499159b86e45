/** Shell: everything around the transcript: button, status, notice, meters, choices. */

import { clock } from "../session/transcript.js";
import { backlog, languageName } from "./strings.js";

// Offered until the first session's config has listed the model's languages.
const COMMON_LANGUAGES = "ar de en es fr hi it ja ko nl pl pt ru tr uk zh".split(" ");
const METER_FLOOR_DB = -54;
const BACKLOG_SHOWN_S = 3;
const FLASH_MS = 2_500;

function byId(id) {
  return document.getElementById(id);
}

export class Controls {
  #record = byId("record");
  #status = byId("status");
  #statusLine = byId("status-line");
  #backlog = byId("backlog");
  #notice = byId("notice");
  #noticeAction = byId("notice-action");
  #timer = byId("timer");
  #level = byId("level");
  #language = byId("language");
  #task = byId("task");
  #countdown = null;
  #expiry = null;
  #flashTimer = null;
  #lastingStatus = null; // shown again after a flashed one
  #onNoticeAction = null;
  #shownNotice = null;

  constructor({ onRecord }) {
    this.#record.addEventListener("click", onRecord);
    byId("notice-dismiss").addEventListener("click", () => this.hideNotice());
    this.#noticeAction.addEventListener("click", () => {
      const act = this.#onNoticeAction;
      this.hideNotice();
      act();
    });
    this.#setLanguages(COMMON_LANGUAGES, true);
  }

  get language() {
    return this.#language.value;
  }

  /** Select a restored session's choices. */
  setChoices({ language, task }) {
    if (language !== "") {
      this.#setLanguages([...new Set([...COMMON_LANGUAGES, language])], true);
    }
    this.#language.value = language;
    this.#task.value = task;
  }

  /** The name of the chosen language; empty for none. */
  get languageName() {
    return this.language === "" ? "" : languageName(this.language);
  }

  get task() {
    return byId("task-choice").hidden ? "" : this.#task.value;
  }

  /** @param {"idle" | "starting" | "recording" | "paused" | "finishing"} phase */
  setPhase(phase) {
    const running = phase !== "idle";
    const recording = running && phase !== "paused";
    document.body.dataset.phase = phase;
    this.#record.setAttribute("aria-pressed", String(recording));
    this.#record.disabled = phase === "finishing";
    this.#record.title = recording ? "Stop" : running ? "Continue recording" : "Start";
    this.#language.disabled = running || this.#language.options.length === 1;
    this.#task.disabled = running;
    document.title = phase === "recording" ? "● Live transcription" : "Live transcription";
    if (phase === "idle" || phase === "finishing") {
      this.setLevel(0);
    }
    if (phase === "idle") {
      this.setBacklog(0);
    }
  }

  /** @param {"idle" | "busy" | "ready"} state */
  setStatus(text, state) {
    clearTimeout(this.#flashTimer);
    this.#flashTimer = null;
    this.#lastingStatus = { text, state };
    this.#status.textContent = text;
    this.#statusLine.dataset.state = state;
  }

  /** Set a status, after the end of a flashed one. */
  setStatusAfterFlash(text, state) {
    if (this.#flashTimer === null) {
      this.setStatus(text, state);
    } else {
      this.#lastingStatus = { text, state };
    }
  }

  /** Show a good status just long enough to be read; nothing if one is being flashed already. */
  flashStatus(text) {
    if (this.#flashTimer !== null) {
      return;
    }
    const { text: previous, state } = this.#lastingStatus;
    this.setStatus(text, "ready");
    if (state === "ready") {
      this.#lastingStatus = { text: previous, state };
    }
    this.#flashTimer = setTimeout(() => this.setStatus(this.#lastingStatus.text, this.#lastingStatus.state), FLASH_MS);
  }

  setTime(seconds) {
    const text = clock(seconds);
    if (this.#timer.textContent !== text) {
      this.#timer.textContent = text;
    }
  }

  /** @param {number} peak of a block, 0 to 1 */
  setLevel(peak) {
    const db = 20 * Math.log10(Math.max(peak, 1e-6));
    const level = Math.max(0, Math.min(1, 1 - db / METER_FLOOR_DB));
    this.#level.style.setProperty("--level", level.toFixed(3));
    this.#record.style.setProperty("--level", level.toFixed(3));
    this.#level.setAttribute("aria-valuenow", String(Math.round(100 * level)));
  }

  /** @param {boolean} isUp false: not called slow, like one that is catching up after a reconnection */
  setBacklog(unsentS, isUp = true) {
    const text = unsentS < BACKLOG_SHOWN_S ? "" : backlog(unsentS, isUp && this.#flashTimer === null);
    if (this.#backlog.textContent !== text) {
      this.#backlog.textContent = text;
    }
  }

  /**
   * @param {import("./strings.js").Notice} notice
   * @param {{label: string, act: () => void} | null} action
   */
  showNotice(notice, action = null) {
    const { title, detail, retryAfterS = 0, shownMs = Infinity } = notice;
    this.hideNotice();
    this.#shownNotice = notice;
    byId("notice-title").textContent = title;
    byId("notice-detail").textContent = detail;
    this.#noticeAction.hidden = action === null;
    this.#onNoticeAction = action?.act ?? null;
    this.#countDown(action?.label ?? "", retryAfterS);
    this.#notice.hidden = false;
    if (shownMs < Infinity) {
      this.#expiry = setTimeout(() => this.hideNotice(), shownMs);
    }
  }

  /** Hide the notice; if one is given, only that one. */
  hideNotice(notice = this.#shownNotice) {
    if (notice === this.#shownNotice) {
      clearTimeout(this.#countdown);
      clearTimeout(this.#expiry);
      this.#notice.hidden = true;
    }
  }

  /** Show the server's model, and offer its languages and tasks. */
  showModel({ model, device, multilingual, languages, translation = multilingual }) {
    const badge = byId("model");
    badge.textContent = [model, device].filter(Boolean).join(" · ");
    badge.hidden = badge.textContent === "";
    byId("task-choice").hidden = translation !== true;
    if (Array.isArray(languages) && languages.length > 0) {
      this.#setLanguages(languages, multilingual === true);
    }
  }

  #countDown(label, seconds) {
    this.#noticeAction.disabled = seconds > 0;
    this.#noticeAction.textContent = seconds > 0 ? `${label} (${seconds})` : label;
    if (seconds > 0) {
      this.#countdown = setTimeout(() => this.#countDown(label, seconds - 1), 1_000);
    }
  }

  #setLanguages(codes, canDetect) {
    const chosen = this.#language.value;
    const named = codes.map((code) => [code, languageName(code)]).sort(([, a], [, b]) => a.localeCompare(b));
    // For a model of one language no parameter is sent.
    const choices = canDetect || named.length > 1 ? [["", "Detect"], ...named] : [["", named[0][1]]];
    this.#language.replaceChildren(...choices.map(([value, name]) => new Option(name, value)));
    this.#language.value = choices.some(([value]) => value === chosen) ? chosen : "";
  }
}
