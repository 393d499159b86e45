/** Shell: a tile for each GPU with a row for each slot. Nodes are updated in place, and a session keeps its row. */

import { add, setText } from "./dom.js";
import { duration, gigabytes, lagText, plainWords } from "./format.js";

const MAX_FREE_ROWS = 16; // free slots beyond this row are only counted
const NONE = "–";

/** The rows of a list of slots. */
export class SlotList {
  #list;
  #rows = [];
  #free;
  #vacancy = "free";

  constructor(list) {
    this.#list = list;
  }

  /**
   * @param {{key: string|number, id: string, state: string, age_s: number|null, lag_s: number|null}[]} sessions
   * @param {number} slots in all
   * @param {boolean} isOpen false: free slots are not offered
   */
  show(sessions, slots, isOpen = true) {
    this.#vacancy = isOpen ? "free" : "closed";
    const present = new Set(sessions.map(({ key }) => key));
    for (const row of this.#rows) {
      if (row.key !== null && !present.has(row.key)) {
        row.key = null;
      }
    }
    const rowOf = new Map(this.#rows.filter(({ key }) => key !== null).map((row) => [row.key, row]));
    for (const session of sessions) {
      const row = rowOf.get(session.key) ?? this.#rows.find(({ key }) => key === null) ?? this.#makeRow();
      row.key = session.key;
      this.#fill(row, session);
    }
    this.#resize(sessions.length, slots);
  }

  /** Show a row for each free slot where there are few, and remove other empty rows at the end. */
  #resize(used, slots) {
    const wanted = slots <= MAX_FREE_ROWS ? Math.max(slots, used) : Math.max(MAX_FREE_ROWS, used);
    while (this.#rows.length < wanted) {
      this.#makeRow();
    }
    while (this.#rows.length > wanted && this.#rows.at(-1).key === null) {
      this.#rows.pop().node.remove();
    }
    this.#rows.filter(({ key }) => key === null).forEach((row) => this.#empty(row));
    const uncounted = slots - this.#rows.length;
    if (uncounted > 0 || this.#free !== undefined) {
      this.#free ??= add(this.#list, "li", "more");
      this.#list.append(this.#free);
      setText(this.#free, uncounted > 0 ? `and ${uncounted} more ${this.#vacancy}` : "");
    }
  }

  #makeRow() {
    const node = add(this.#list, "li", "slot");
    add(node, "span", "dot").ariaHidden = "true";
    const [who, state, age, lag] = ["who", "what", "age", "behind"].map((name) => add(node, "span", name));
    const row = { key: null, node, who, state, age, lag };
    this.#rows.push(row);
    this.#empty(row);
    return row;
  }

  #fill({ node, who, state, age, lag }, session) {
    node.dataset.state = session.state;
    setText(who, session.id);
    setText(state, session.state);
    setText(age, session.age_s === null ? "" : duration(session.age_s));
    setText(lag, session.lag_s === null ? "" : lagText(session.lag_s).join(""));
  }

  #empty({ node, who, state, age, lag }) {
    node.dataset.state = this.#vacancy;
    setText(who, this.#vacancy);
    [state, age, lag].forEach((each) => setText(each, ""));
  }
}

class Tile {
  #state;
  #used;
  #slots;
  #figures;
  #memory;
  #list;

  constructor(parent, name) {
    this.node = add(parent, "article", "panel gpu");
    this.node.ariaLabel = name;
    const head = add(this.node, "header");
    setText(add(head, "h2"), name);
    this.#state = add(head, "span", "chip");
    const load = add(head, "p", "load");
    this.#used = add(load, "span");
    this.#slots = add(load, "span", "unit");
    const facts = add(this.node, "dl", "facts");
    this.#figures = Object.fromEntries(["Memory", "Load", "Lag", "Boots"].map((fact) => [fact, this.#fact(facts, fact)]));
    this.#memory = add(this.#figures.Memory.parentNode, "progress");
    this.#memory.max = 1;
    this.#memory.ariaHidden = "true";
    this.#list = new SlotList(add(this.node, "ul", "slots"));
  }

  #fact(list, name) {
    const pair = add(list, "div", "fact");
    setText(add(pair, "dt"), name);
    return add(pair, "dd");
  }

  show(gpu) {
    this.node.dataset.state = gpu.state;
    setText(this.#state, gpu.state === "serving" && gpu.weights === "loading" ? "loading" : gpu.state);
    setText(this.#used, String(gpu.used));
    setText(this.#slots, `/${gpu.slots}`);
    const { memory_used_gb: used, memory_total_gb: total } = gpu;
    const both = total === null ? `${gigabytes(used ?? 0)} GB` : `${gigabytes(used ?? 0)} of ${gigabytes(total)} GB`;
    setText(this.#figures.Memory, used === null ? NONE : both);
    this.#memory.value = used === null || !total ? 0 : used / total;
    const { utilization_percent: load } = gpu;
    setText(this.#figures.Load, load === null ? NONE : `${Math.round(load)} %`);
    setText(this.#figures.Lag, gpu.lag_s === null ? NONE : lagText(gpu.lag_s).join(""));
    setText(this.#figures.Boots, String(gpu.boots));
    this.node.title = [gpu.device, gpu.weights && `weights: ${plainWords(gpu.weights)}`].filter(Boolean).join(", ");
    const foreign = Array.from({ length: gpu.foreign }, (_, index) => ({
      key: `foreign ${index}`,
      id: "another gateway",
      state: "",
      age_s: null,
      lag_s: null,
    }));
    this.#list.show([...gpu.sessions.map((each) => ({ ...each, key: each.lease })), ...foreign], gpu.slots, gpu.state === "serving");
  }
}

export class Tiles {
  #parent;
  #tiles = new Map();

  constructor(parent) {
    this.#parent = parent;
  }

  show(gpus) {
    for (const gpu of gpus) {
      if (!this.#tiles.has(gpu.worker)) {
        this.#tiles.set(gpu.worker, new Tile(this.#parent, `GPU ${gpu.gpu_id}`));
      }
      this.#tiles.get(gpu.worker).show(gpu);
    }
    const present = new Set(gpus.map(({ worker }) => worker));
    for (const [worker, tile] of this.#tiles) {
      if (!present.has(worker)) {
        tile.node.remove();
        this.#tiles.delete(worker);
      }
    }
  }
}
