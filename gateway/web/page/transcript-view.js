/** Shell: the transcript on the screen. Text enters the page through textContent only. */

import { clock, isShown } from "../session/transcript.js";

const NEAR_END_PX = 48;

function element(name, className, text = "") {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

/** One segment: its time stamp, its committed text, its tail. */
class Line {
  #committed = element("span", "committed");
  #tail = element("span", "tail");
  #shown = "";

  constructor(segment) {
    this.node = element("div", "line");
    const paragraph = element("p", "words");
    paragraph.dir = "auto";
    // A screen reader is told what is settled, once, and not every guess.
    this.#tail.setAttribute("aria-hidden", "true");
    paragraph.append(this.#committed, this.#tail);
    this.node.append(element("time", "stamp", clock(segment.start)), paragraph);
    this.update(segment);
  }

  update(segment) {
    const { committed, tail } = segment;
    if (committed.startsWith(this.#shown)) {
      this.#append(committed.slice(this.#shown.length));
    } else {
      this.#committed.replaceChildren();
      this.#append(committed);
    }
    this.#shown = committed;
    this.#tail.textContent = tail;
    this.node.hidden = !isShown(segment);
    this.node.classList.toggle("open", !segment.isFinal);
  }

  /** New words are new nodes: only they are read out, and only they fade in. */
  #append(text) {
    if (text !== "") {
      this.#committed.append(element("span", "word", text));
    }
  }
}

export class TranscriptView {
  #scroller;
  #list;
  #empty;
  #latest;
  #transcript;
  #lines = new Map();
  #run = null;
  #followsEnd = true;
  #placed = 0;

  /** @param {{scroller: HTMLElement, list: HTMLElement, empty: HTMLElement, latest: HTMLButtonElement}} parts */
  constructor({ scroller, list, empty, latest }, transcript) {
    this.#scroller = scroller;
    this.#list = list;
    this.#empty = empty;
    this.#latest = latest;
    this.#transcript = transcript;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#follow()).observe(scroller);
    latest.addEventListener("click", () => {
      this.#turnToEnd();
      this.#follow();
    });
  }

  /** Show the transcript's newest run, separated from the former ones. */
  beginRun() {
    this.#run = element("section", "run");
    const { startedAt } = this.#transcript.runs.at(-1);
    const time = startedAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.#run.append(element("h2", "mark", time));
    this.#list.append(this.#run);
    this.#turnToEnd();
    this.#settle();
  }

  update(segment) {
    const line = this.#lines.get(segment);
    if (line !== undefined) {
      line.update(segment);
    } else {
      const added = new Line(segment);
      this.#lines.set(segment, added);
      this.#run.append(added.node);
    }
    this.#settle();
  }

  /** Show again what the transcript hides or brings back. */
  refresh() {
    for (const [segment, line] of this.#lines) {
      line.node.hidden = !isShown(segment);
    }
    this.#settle();
  }

  /** Take the lines that are hidden for good off the page. */
  purge() {
    for (const [segment, line] of this.#lines) {
      if (segment.hidden) {
        line.node.remove();
        this.#lines.delete(segment);
      }
    }
  }

  #settle() {
    this.#empty.hidden = !this.#transcript.isEmpty;
    this.#follow();
  }

  #turnToEnd() {
    this.#followsEnd = true;
    this.#placed = 0;
  }

  #follow() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    // Whoever has scrolled up is left there, also before their scroll is told. A page that became shorter moves too.
    if (scrollTop < Math.min(this.#placed, scrollHeight - clientHeight) - NEAR_END_PX) {
      this.#followsEnd = false;
    }
    if (this.#followsEnd) {
      this.#scroller.scrollTop = scrollHeight;
      this.#placed = this.#scroller.scrollTop;
    }
    this.#latest.hidden = this.#followsEnd;
  }

  /** Who scrolls up is reading: leave the page where it is until they are back at the end. */
  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    this.#followsEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#latest.hidden = this.#followsEnd;
  }
}
