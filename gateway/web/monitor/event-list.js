/** Shell: the recent events, newest first, with one node for each event. */

import { add, setText } from "./dom.js";
import { plainWords } from "./format.js";

const OUTCOMES = { complete: "finished", client_left: "left" };
const REFUSALS = { no_capacity: "no slot was free" };

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @returns {[string, string]} what happened in a sentence, and a note */
export function describe({ kind, session, gpu_id: gpu, from_gpu: from, detail, count }) {
  const reason = detail === undefined ? "" : plainWords(detail);
  switch (kind) {
    case "allocated":
      return [`${session} got a slot on GPU ${gpu}`, ""];
    case "moved":
      return [from === undefined ? `${session} is back on GPU ${gpu}` : `${session} moved, GPU ${from} → ${gpu}`, reason];
    case "ended":
      return [`${session} ${OUTCOMES[detail] ?? "was ended"}`, detail in OUTCOMES ? "" : reason];
    case "failed":
      return [`${session} was given up by its worker`, reason];
    case "refused":
      return [count > 1 ? `${count} sessions were refused` : "A session was refused", REFUSALS[detail] ?? reason];
    case "lost":
      return [`GPU ${gpu} is lost`, reason];
    case "stopped":
      return [`GPU ${gpu} has stopped`, ""];
    case "serving":
      return [`GPU ${gpu} serves`, ""];
    case "draining":
      return [`GPU ${gpu} is draining`, "its sessions move"];
    default:
      return [plainWords(kind), reason];
  }
}

export class EventList {
  #list;
  #nodes = new Map();

  constructor(list) {
    this.#list = list;
  }

  /** @param {{id: number, at: number, kind: string}[]} events newest first */
  show(events) {
    const present = new Set(events.map(({ id }) => id));
    for (const [id, { node }] of this.#nodes) {
      if (!present.has(id)) {
        node.remove();
        this.#nodes.delete(id);
      }
    }
    let previous = null;
    for (const event of events) {
      const { node } = this.#update(event);
      const place = previous === null ? this.#list.firstChild : previous.nextSibling;
      if (place !== node) {
        this.#list.insertBefore(node, place);
      }
      previous = node;
    }
  }

  #update(event) {
    if (!this.#nodes.has(event.id)) {
      const node = document.createElement("li");
      add(node, "span", "dot").ariaHidden = "true";
      const [text, note, time] = [add(node, "span", "text"), add(node, "span", "reason"), add(node, "time")];
      this.#nodes.set(event.id, { node, text, note, time });
    }
    const parts = this.#nodes.get(event.id);
    const [text, note] = describe(event);
    parts.node.dataset.kind = event.kind;
    setText(parts.text, text);
    setText(parts.note, note);
    const at = new Date(event.at * 1_000);
    parts.time.dateTime = at.toISOString();
    setText(parts.time, clock.format(at));
    return parts;
  }
}
