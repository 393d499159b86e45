/** Shell: shows the transcript. Text enters the page through textContent only. */

import { clock, isShown } from "../session/transcript.js";

const NEAR_END_PX = 48;

function element(name, className, text = "") {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

/** One segment: its time stamp, which follows the segment's corrected start, its committed text, its tail. */
class Line {
  #stamp = element("time", "stamp");
  #committed = element("span", "committed");
  #tail = element("span", "tail");
  #shownText = "";

  constructor(segment) {
    this.node = element("div", "line");
    const paragraph = element("p", "words");
    paragraph.dir = "auto";
    // A screen reader should read committed words once, and no guesses.
    this.#tail.setAttribute("aria-hidden", "true");
    paragraph.append(this.#committed, this.#tail);
    this.node.append(this.#stamp, paragraph);
    this.update(segment);
  }

  update(segment) {
    const { committed, tail } = segment;
    const stamp = clock(segment.start);
    if (this.#stamp.textContent !== stamp) {
      this.#stamp.textContent = stamp;
    }
    if (committed.startsWith(this.#shownText)) {
      this.#append(committed.slice(this.#shownText.length));
    } else {
      this.#committed.replaceChildren();
      this.#append(committed);
    }
    this.#shownText = committed;
    this.#tail.textContent = tail;
    this.node.hidden = !isShown(segment);
    this.node.classList.toggle("open", !segment.isFinal);
  }

  /** Add new words as a new node: only new nodes are read out and fade in. */
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
  #lastTop = 0; // where the view itself has scrolled to

  /** @param {{scroller: HTMLElement, list: HTMLElement, empty: HTMLElement, latest: HTMLButtonElement}} parts */
  constructor({ scroller, list, empty, latest }, transcript) {
    this.#scroller = scroller;
    this.#list = list;
    this.#empty = empty;
    this.#latest = latest;
    this.#transcript = transcript;
    scroller.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    new ResizeObserver(() => this.#scroll()).observe(scroller);
    latest.addEventListener("click", () => {
      this.#followEnd();
      this.#scroll();
    });
  }

  /** Add the transcript's newest run, separated from the one before. */
  beginRun() {
    this.#run = element("section", "run");
    const { startedAt } = this.#transcript.runs.at(-1);
    const time = startedAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    this.#run.append(element("h2", "mark", time));
    this.#list.append(this.#run);
    this.#followEnd();
    this.#update();
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
    this.#update();
  }

  /** Show or hide each line as the transcript says. */
  refresh() {
    for (const [segment, line] of this.#lines) {
      line.node.hidden = !isShown(segment);
    }
    this.#update();
  }

  /** Remove the hidden lines. */
  purge() {
    for (const [segment, line] of this.#lines) {
      if (segment.hidden) {
        line.node.remove();
        this.#lines.delete(segment);
      }
    }
  }

  #update() {
    this.#empty.hidden = !this.#transcript.isEmpty;
    this.#scroll();
  }

  #followEnd() {
    this.#followsEnd = true;
    this.#lastTop = 0;
  }

  #scroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    // A person who has scrolled up stays there, even before the scroll event arrives. A page that became shorter was
    // moved by the browser.
    if (scrollTop < Math.min(this.#lastTop, scrollHeight - clientHeight) - NEAR_END_PX) {
      this.#followsEnd = false;
    }
    if (this.#followsEnd) {
      this.#scroller.scrollTop = scrollHeight;
      this.#lastTop = this.#scroller.scrollTop;
    }
    this.#latest.hidden = this.#followsEnd;
  }

  /** Stop following new words while the person has scrolled up to read. */
  #onScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    this.#followsEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#latest.hidden = this.#followsEnd;
  }
}
