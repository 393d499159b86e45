/** Shell: everything around the transcript: the button, the status, the notice, the meters, the choices. */

import { clock } from "../session/transcript.js";
import { backlog, languageName } from "./strings.js";

// Offered until a session has told which languages its model knows.
const COMMON_LANGUAGES = "ar de en es fr hi it ja ko nl pl pt ru tr uk zh".split(" ");
const METER_FLOOR_DB = -54;
const BACKLOG_SHOWN_S = 3;
const PASSING_MS = 2_500;

function byId(id) {
  return document.getElementById(id);
}

export class Panel {
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
  #passing = null;
  #standing = null; // the status once none is passing
  #onNoticeAction = null;

  constructor({ onRecord }) {
    this.#record.addEventListener("click", onRecord);
    byId("notice-dismiss").addEventListener("click", () => this.hideNotice());
    this.#noticeAction.addEventListener("click", () => {
      const act = this.#onNoticeAction;
      this.hideNotice();
      act();
    });
    this.#offerLanguages(COMMON_LANGUAGES, true);
  }

  get language() {
    return this.#language.value;
  }

  /** Choose what an earlier page had chosen. */
  choose({ language, task }) {
    if (language !== "") {
      this.#offerLanguages([...new Set([...COMMON_LANGUAGES, language])], true);
    }
    this.#language.value = language;
    this.#task.value = task;
  }

  /** The chosen language as people call it; empty for none. */
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
    clearTimeout(this.#passing);
    this.#passing = null;
    this.#standing = { text, state };
    this.#status.textContent = text;
    this.#statusLine.dataset.state = state;
  }

  /** Set a status that may wait until a passing one has been read. */
  followStatus(text, state) {
    if (this.#passing === null) {
      this.setStatus(text, state);
    } else {
      this.#standing = { text, state };
    }
  }

  /** Show good news long enough to be read, then what stood before, or came meanwhile. One at a time is enough. */
  passStatus(text) {
    if (this.#passing !== null) {
      return;
    }
    const { text: before, state } = this.#standing;
    this.setStatus(text, "ready");
    if (state === "ready") {
      this.#standing = { text: before, state };
    }
    this.#passing = setTimeout(() => this.setStatus(this.#standing.text, this.#standing.state), PASSING_MS);
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

  /** @param {boolean} isUp whether there is a connection; one that is just back is not slow, but catching up */
  setBacklog(unsentS, isUp = true) {
    const text = unsentS < BACKLOG_SHOWN_S ? "" : backlog(unsentS, isUp && this.#passing === null);
    if (this.#backlog.textContent !== text) {
      this.#backlog.textContent = text;
    }
  }

  /**
   * @param {import("./strings.js").Notice} notice
   * @param {{label: string, act: () => void} | null} action
   */
  showNotice({ title, detail, retryAfterS = 0, shownMs = Infinity }, action = null) {
    this.hideNotice();
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

  hideNotice() {
    clearTimeout(this.#countdown);
    clearTimeout(this.#expiry);
    this.#notice.hidden = true;
  }

  /** Offer what the server's model can do. */
  describeModel({ model, device, multilingual, languages }) {
    const badge = byId("model");
    badge.textContent = [model, device].filter(Boolean).join(" · ");
    badge.hidden = badge.textContent === "";
    byId("task-choice").hidden = multilingual !== true;
    if (Array.isArray(languages) && languages.length > 0) {
      this.#offerLanguages(languages, multilingual === true);
    }
  }

  #countDown(label, seconds) {
    this.#noticeAction.disabled = seconds > 0;
    this.#noticeAction.textContent = seconds > 0 ? `${label} (${seconds})` : label;
    if (seconds > 0) {
      this.#countdown = setTimeout(() => this.#countDown(label, seconds - 1), 1_000);
    }
  }

  #offerLanguages(codes, canDetect) {
    const chosen = this.#language.value;
    const named = codes.map((code) => [code, languageName(code)]).sort(([, a], [, b]) => a.localeCompare(b));
    // A model of one language needs no choice, and is asked for none.
    const choices = canDetect || named.length > 1 ? [["", "Detect"], ...named] : [["", named[0][1]]];
    this.#language.replaceChildren(...choices.map(([value, name]) => new Option(name, value)));
    this.#language.value = choices.some(([value]) => value === chosen) ? chosen : "";
  }
}
