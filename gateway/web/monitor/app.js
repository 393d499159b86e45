/** Shell: the wall. Follows the server's events, says when they stop, and shows what they say. */

import { AreaChart, BarChart } from "./charts.js";
import { EventList } from "./event-list.js";
import { duration, lagText, round, setText, setupText } from "./format.js";
import { SlotList, Tiles } from "./tiles.js";

const STALE_MS = 3_500;
const DEAD_MS = 15_000; // an open connection that is so quiet is none
const RETRY_MS = 3_000;
const LOOK_MS = 500;

const REFUSALS = {
  401: "This server asks for the monitor token: open /monitor?token=…",
  403: "This server shows its monitor to its own machine only.",
  503: "The server has no room for another viewer.",
};

const part = (id) => document.getElementById(id);

/** What the newest state says in large figures. */
class Figures {
  show(now) {
    setText(part("health"), now.status);
    part("health-figure").dataset.health = now.status;
    const gpus = `${now.serving_gpus} of ${now.gpus.length} GPUs serving`;
    setText(part("health-note"), gpus);
    part("health-note").dataset.whole = String(now.serving_gpus === now.gpus.length);
    setText(part("used"), String(now.used_slots));
    setText(part("total"), `/${now.total_slots}`);
    const waiting = now.elsewhere.length;
    const free = Math.max(0, now.total_slots - now.used_slots);
    part("used-note").dataset.waiting = String(waiting > 0);
    setText(part("used-note"), waiting > 0 ? `${free} free, ${waiting} without a slot` : `${free} free`);
    this.#measure("lag", now.lag_s === null ? ["–", ""] : lagText(now.lag_s));
    setText(part("lag-note"), now.lag_s === null ? "no session" : "worst session now");
    part("model").hidden = now.model === null;
    setText(part("model"), now.model ?? "");
    document.title = `${now.used_slots}/${now.total_slots} ${now.status} · Monitor`;
  }

  showHistory(history) {
    this.#measure("setup", history.setup_median_ms === null ? ["–", ""] : setupText(history.setup_median_ms));
    setText(part("setup-note"), history.setups === 0 ? "none in 10 min" : `median of ${history.setups} in 10 min`);
  }

  #measure(id, [value, unit]) {
    setText(part(id), value);
    setText(part(`${id}-unit`), unit);
  }
}

class Wall {
  #source = null;
  #heard = performance.now();
  #everHeard = false;
  #refusal = null;
  #uptime = "";
  #capacity = 0;
  #history = null;
  #figures = new Figures();
  #tiles = new Tiles(part("gpus"));
  #elsewhere = new SlotList(part("elsewhere"));
  #events = new EventList(part("events"));
  #lag = new AreaChart(part("lag-chart"), { name: "Lag", least: 2, text: (value) => lagText(value).join("") });
  #setup = new BarChart(part("setup-chart"), {
    name: "Setup",
    least: 1_000,
    text: (value) => setupText(value).join(""),
    limit: 3_000,
  });
  #used = new AreaChart(part("used-chart"), { name: "Slots in use", least: 1, text: round, whole: true });

  constructor() {
    this.#listen();
    setInterval(() => this.#look(), LOOK_MS);
    // A page that the browser keeps for the way back would keep its connection, and there are six at most to a server.
    addEventListener("pagehide", () => this.#source.close());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#listen());
  }

  #listen() {
    this.#source?.close();
    const source = new EventSource("monitor/events");
    this.#source = source;
    const on = (topic, act) => source.addEventListener(topic, ({ data }) => this.#received(act, JSON.parse(data)));
    on("now", (now) => this.#now(now));
    on("history", (history) => this.#showHistory(history));
    on("events", (events) => this.#events.show(events));
    source.addEventListener("error", () => this.#failed(source));
  }

  #received(act, body) {
    this.#heard = performance.now();
    this.#everHeard = true;
    this.#refusal = null;
    act(body);
    this.#look();
  }

  #now(now) {
    this.#uptime = duration(now.uptime_s);
    this.#figures.show(now);
    this.#tiles.show(now.gpus);
    part("elsewhere-panel").hidden = now.elsewhere.length === 0;
    this.#elsewhere.show(now.elsewhere.map((row) => ({ ...row, key: row.id })), now.elsewhere.length);
    const capacity = now.gpus.reduce((sum, gpu) => sum + gpu.slots, 0); // a lost worker's slots will come back
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

  /** The browser tries again by itself unless the server has answered with an error. */
  #failed(source) {
    if (source !== this.#source || source.readyState !== EventSource.CLOSED) {
      return;
    }
    this.#askWhy();
    setTimeout(() => {
      if (source === this.#source) {
        this.#listen();
      }
    }, RETRY_MS);
  }

  async #askWhy() {
    try {
      const { status } = await fetch("monitor/state", { cache: "no-store" });
      this.#refusal = REFUSALS[status] ?? null;
    } catch (error) {
      if (!(error instanceof TypeError)) {
        throw error; // fetch raises a TypeError when nobody answers: there is nothing to be told then
      }
      this.#refusal = null;
    }
    this.#look();
  }

  /** Say whether what is shown is true. */
  #look() {
    const silent_ms = performance.now() - this.#heard;
    if (silent_ms > DEAD_MS && this.#source.readyState === EventSource.OPEN) {
      this.#heard = performance.now() - STALE_MS - 1;
      this.#listen();
    }
    if (silent_ms <= STALE_MS && this.#everHeard) {
      this.#say("live", "Live", ` · up ${this.#uptime}`);
    } else if (this.#refusal !== null) {
      this.#say("stale", this.#refusal);
    } else if (this.#everHeard) {
      this.#say("stale", "No news. Trying again…");
    } else {
      this.#say("connecting", "Connecting…");
    }
  }

  #say(link, text, uptime = "") {
    if (document.body.dataset.link !== link) {
      document.body.dataset.link = link;
    }
    setText(part("link"), text);
    setText(part("uptime"), uptime);
  }
}

new Wall();
