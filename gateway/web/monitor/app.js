/** Shell: the monitor page. It shows the state that the server sends, and tells when that is out of date. */

import { AreaChart, BarChart } from "./charts.js";
import { setText } from "./dom.js";
import { EventList } from "./event-list.js";
import { duration, lagText, round, setupText } from "./format.js";
import { SlotList, Tiles } from "./tiles.js";

const STALE_MS = 3_500;
const DEAD_MS = 15_000; // after this the connection is made again, though it seems open
const RETRY_MS = 3_000;
const CHECK_MS = 500;

const REFUSALS = {
  401: "This server asks for the monitor token: open /monitor?token=…",
  403: "This server shows its monitor to its own machine only.",
  503: "The server has no room for another viewer.",
};

const byId = (id) => document.getElementById(id);

/** The large figures. */
class Figures {
  show(now) {
    setText(byId("health"), now.status);
    byId("health-figure").dataset.health = now.status;
    const gpus = `${now.serving_gpus} of ${now.gpus.length} GPUs serving`;
    setText(byId("health-note"), gpus);
    byId("health-note").dataset.whole = String(now.serving_gpus === now.gpus.length);
    setText(byId("used"), String(now.used_slots));
    setText(byId("total"), `/${now.total_slots}`);
    const waiting = now.elsewhere.length;
    const free = Math.max(0, now.total_slots - now.used_slots);
    byId("used-note").dataset.waiting = String(waiting > 0);
    setText(byId("used-note"), waiting > 0 ? `${free} free, ${waiting} without a slot` : `${free} free`);
    this.#measure("lag", now.lag_s === null ? ["–", ""] : lagText(now.lag_s));
    setText(byId("lag-note"), now.lag_s === null ? "no session" : "worst session now");
    byId("model").hidden = now.model === null;
    setText(byId("model"), now.model ?? "");
    document.title = `${now.used_slots}/${now.total_slots} ${now.status} · Monitor`;
  }

  showHistory(history) {
    this.#measure("setup", history.setup_median_ms === null ? ["–", ""] : setupText(history.setup_median_ms));
    setText(byId("setup-note"), history.setups === 0 ? "none in 10 min" : `median of ${history.setups} in 10 min`);
  }

  #measure(id, [value, unit]) {
    setText(byId(id), value);
    setText(byId(`${id}-unit`), unit);
  }
}

class Monitor {
  #source = null;
  #lastMessageMs = performance.now();
  #hasState = false;
  #refusal = null;
  #uptime = "";
  #capacity = 0;
  #history = null;
  #figures = new Figures();
  #tiles = new Tiles(byId("gpus"));
  #elsewhere = new SlotList(byId("elsewhere"));
  #events = new EventList(byId("events"));
  #lag = new AreaChart(byId("lag-chart"), { name: "Lag", least: 2, text: (value) => lagText(value).join("") });
  #setup = new BarChart(byId("setup-chart"), {
    name: "Setup",
    least: 1_000,
    text: (value) => setupText(value).join(""),
    limit: 3_000,
  });
  #used = new AreaChart(byId("used-chart"), { name: "Slots in use", least: 1, text: round, whole: true });

  constructor() {
    this.#connect();
    setInterval(() => this.#checkFreshness(), CHECK_MS);
    // A page in the back/forward cache would keep its connection, and a browser has six for each server.
    addEventListener("pagehide", () => this.#source.close());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#connect());
  }

  #connect() {
    this.#source?.close();
    const source = new EventSource("monitor/events");
    this.#source = source;
    const on = (topic, act) => source.addEventListener(topic, ({ data }) => this.#onMessage(act, JSON.parse(data)));
    on("now", (now) => this.#showState(now));
    on("history", (history) => this.#showHistory(history));
    on("events", (events) => this.#events.show(events));
    source.addEventListener("error", () => this.#onError(source));
  }

  #onMessage(act, body) {
    this.#lastMessageMs = performance.now();
    this.#hasState = true;
    this.#refusal = null;
    act(body);
    this.#checkFreshness();
  }

  #showState(now) {
    this.#uptime = duration(now.uptime_s);
    this.#figures.show(now);
    this.#tiles.show(now.gpus);
    byId("elsewhere-panel").hidden = now.elsewhere.length === 0;
    this.#elsewhere.show(now.elsewhere.map((row) => ({ ...row, key: row.id })), now.elsewhere.length);
    const capacity = now.gpus.reduce((sum, gpu) => sum + gpu.slots, 0); // with the slots of lost workers
    if (capacity !== this.#capacity) {
      this.#capacity = capacity;
      this.#drawUsed();
    }
  }

  #showHistory(history) {
    this.#history = history;
    this.#figures.showHistory(history);
    this.#lag.show(history.lag_s);
    this.#setup.show(history.setup_ms);
    this.#drawUsed();
  }

  #drawUsed() {
    if (this.#history !== null) {
      this.#used.show(this.#history.used, this.#capacity);
    }
  }

  /** Reconnect after an error answer; after other failures the browser does so itself. */
  #onError(source) {
    if (source !== this.#source || source.readyState !== EventSource.CLOSED) {
      return;
    }
    this.#fetchRefusal();
    setTimeout(() => {
      if (source === this.#source) {
        this.#connect();
      }
    }, RETRY_MS);
  }

  async #fetchRefusal() {
    try {
      const { status } = await fetch("monitor/state", { cache: "no-store" });
      this.#refusal = REFUSALS[status] ?? null;
    } catch (error) {
      if (!(error instanceof TypeError)) {
        throw error; // a TypeError: no answer at all, so there is no reason to show
      }
      this.#refusal = null;
    }
    this.#checkFreshness();
  }

  #checkFreshness() {
    const silent_ms = performance.now() - this.#lastMessageMs;
    if (silent_ms > DEAD_MS && this.#source.readyState === EventSource.OPEN) {
      this.#lastMessageMs = performance.now() - STALE_MS - 1;
      this.#connect();
    }
    if (silent_ms <= STALE_MS && this.#hasState) {
      this.#showLink("live", "Live", ` · up ${this.#uptime}`);
    } else if (this.#refusal !== null) {
      this.#showLink("stale", this.#refusal);
    } else if (this.#hasState) {
      this.#showLink("stale", "No news. Trying again…");
    } else {
      this.#showLink("connecting", "Connecting…");
    }
  }

  #showLink(link, text, uptime = "") {
    if (document.body.dataset.link !== link) {
      document.body.dataset.link = link;
    }
    setText(byId("link"), text);
    setText(byId("uptime"), uptime);
  }
}

new Monitor();
