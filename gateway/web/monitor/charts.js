/** Shell: small SVG charts of the last ten minutes, with the present at the right edge. */

import { add, setText } from "./dom.js";
import { niceCeiling } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;

function draw(parent, tag, className) {
  const node = document.createElementNS(SVG, tag);
  node.setAttribute("class", className);
  parent.append(node);
  return node;
}

function set(node, name, value) {
  if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

class Chart {
  #options;
  #node;
  #svg;
  #path;
  #grid;
  #limit;
  #top;
  #middle;

  /**
   * @param {HTMLElement} node to draw into
   * @param {{name: string, least: number, text: (value: number) => string, limit?: number, whole?: boolean}} options
   *   least: the smallest maximum of the scale; limit: marked by a line if the scale reaches it; whole: integers only
   */
  constructor(node, options) {
    this.#options = options;
    this.#node = node;
    this.#top = add(node, "span", "scale top");
    this.#middle = add(node, "span", "scale middle");
    this.#svg = document.createElementNS(SVG, "svg");
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("aria-hidden", "true");
    node.append(this.#svg);
    this.#grid = draw(this.#svg, "path", "grid");
    this.#limit = draw(this.#svg, "path", "limit");
    this.#path = draw(this.#svg, "path", this.className);
    const axis = add(node, "p", "axis");
    setText(add(axis, "span"), "10 min ago");
    setText(add(axis, "span"), "now");
  }

  /** @param {(number|null)[]} values oldest first @param {number|null} ceiling of the scale; null: chosen to fit */
  show(values, ceiling = null) {
    const { name, least, text, limit, whole } = this.#options;
    const known = values.filter((value) => value !== null);
    const most = Math.max(0, ...known);
    const top = ceiling !== null && ceiling >= most && ceiling > 0 ? ceiling : niceCeiling(Math.max(least, most));
    const y = (value) => HEIGHT - (HEIGHT * value) / top;
    set(this.#svg, "viewBox", `0 0 ${values.length} ${HEIGHT}`);
    set(this.#grid, "d", [0, top / 2, top].map((value) => `M0 ${y(value)}H${values.length}`).join(""));
    set(this.#limit, "d", limit !== undefined && limit <= top ? `M0 ${y(limit)}H${values.length}` : "");
    set(this.#path, "d", this.path(values, y));
    setText(this.#top, text(top));
    setText(this.#middle, whole && top % 2 !== 0 ? "" : text(top / 2));
    const last = values.at(-1);
    const now = last === null ? "none now" : `${text(last)} now`;
    const summary = known.length === 0 ? "nothing in the last ten minutes" : `${now}, at most ${text(most)} in the last ten minutes`;
    set(this.#node, "aria-label", `${name}: ${summary}`);
  }
}

/** An area under a stepped line, with gaps where there are no values. */
export class AreaChart extends Chart {
  get className() {
    return "area";
  }

  path(values, y) {
    let path = "";
    values.forEach((value, index) => {
      if (value !== null) {
        const isNew = index === 0 || values[index - 1] === null;
        path += `${isNew ? `M${index} ${HEIGHT}` : ""}V${y(value)}H${index + 1}`;
        const isLast = index === values.length - 1 || values[index + 1] === null;
        path += isLast ? `V${HEIGHT}` : "";
      }
    });
    return path;
  }
}

/** A bar for each value. */
export class BarChart extends Chart {
  get className() {
    return "bars";
  }

  path(values, y) {
    const bars = values.map((value, index) => (value === null ? "" : `M${index + 0.5} ${HEIGHT}V${Math.min(y(value), HEIGHT - 2)}`));
    return bars.join("");
  }
}
