// Run by test_peers.py through `node --test`: what the page puts on the screen, with a document that takes text only.
import assert from "node:assert/strict";
import { test } from "node:test";

const MARKUP = '<img src=x onerror="alert(1)"><script>alert(2)</script> &amp; done';

/** A node of the document: it has children or text, and refuses markup. */
class Node {
  children = [];
  textContent = "";
  classList = { toggle: () => {} };
  listeners = {};

  constructor(name) {
    this.name = name;
  }

  set innerHTML(_markup) {
    throw new Error("text was given as markup");
  }

  set outerHTML(_markup) {
    throw new Error("text was given as markup");
  }

  insertAdjacentHTML() {
    throw new Error("text was given as markup");
  }

  append(...nodes) {
    this.children.push(...nodes);
  }

  replaceChildren(...nodes) {
    this.children = nodes;
  }

  setAttribute() {}

  addEventListener() {}

  /** The text of the node and all below it. */
  get text() {
    return this.textContent + this.children.map((child) => child.text).join("");
  }

  get names() {
    return [this.name, ...this.children.flatMap((child) => child.names)];
  }
}

globalThis.document = { createElement: (name) => new Node(name) };
globalThis.ResizeObserver = class {
  observe() {}
};

const { Transcript } = await import("../../gateway/web/session/transcript.js");
const { TranscriptView } = await import("../../gateway/web/page/transcript-view.js");

test("markup in a tail, in committed words and in a final is shown letter by letter", () => {
  const transcript = new Transcript();
  const list = new Node("div");
  const parts = { scroller: new Node("div"), list, empty: new Node("p"), latest: new Node("button") };
  const view = new TranscriptView(parts, transcript);
  transcript.beginRun(new Date(0));
  view.beginRun();
  const states = [
    { type: "partial", committed: "", tail: MARKUP },
    { type: "partial", committed: MARKUP, tail: "" },
    { type: "final", text: `${MARKUP} ${MARKUP}`, words: [] },
  ];
  for (const state of states) {
    transcript.apply({ segment: 1, start: 0, end: 1, ...state }).forEach((segment) => view.update(segment));
    assert.ok(list.text.includes(state.text ?? MARKUP), list.text);
  }
  assert.ok(!list.names.includes("img") && !list.names.includes("script"));
});

/** A box 100 pixels high over content that grows by 30 with each word, which clamps where it is scrolled to. */
class Box extends Node {
  clientHeight = 100;
  scrollHeight = 400;
  #top = 0;

  get scrollTop() {
    return this.#top;
  }

  set scrollTop(value) {
    this.#top = Math.max(0, Math.min(value, this.scrollHeight - this.clientHeight));
  }
}

test("a reader who has scrolled up stays there, even before the scroll event; otherwise the end is shown", () => {
  const transcript = new Transcript();
  const scroller = new Box("div");
  const parts = { scroller, list: new Node("div"), empty: new Node("p"), latest: new Node("button") };
  const view = new TranscriptView(parts, transcript);
  const say = (text) => {
    scroller.scrollHeight += 30;
    const message = { segment: 1, start: 0, end: 1, type: "partial", committed: text, tail: "" };
    transcript.apply(message).forEach((segment) => view.update(segment));
  };
  transcript.beginRun(new Date(0));
  view.beginRun();
  say("one");
  assert.equal(scroller.scrollTop, 330);
  scroller.scrollTop = 0; // no event yet
  say("one two");
  assert.equal(scroller.scrollTop, 0);
  assert.equal(parts.latest.hidden, false);
  transcript.beginRun(new Date(1));
  view.beginRun();
  say("three");
  assert.equal(scroller.scrollTop, scroller.scrollHeight - 100);
  scroller.scrollHeight = 200; // lines were removed: the box moves without being scrolled
  scroller.scrollTop = 1000;
  say("three four");
  assert.equal(scroller.scrollTop, 130);
});

/** Return the time stamps that the view shows. */
function stamps(list) {
  return list.children.flatMap((run) => run.children.filter(({ name }) => name === "div").map((line) => line.children[0].text));
}

function viewOf(transcript) {
  const list = new Node("div");
  const parts = { scroller: new Node("div"), list, empty: new Node("p"), latest: new Node("button") };
  return { list, view: new TranscriptView(parts, transcript) };
}

test("newcomer 8: a stamp follows its segment's start; the page, a reload and the subtitles have the same times", () => {
  const transcript = new Transcript();
  const { list, view } = viewOf(transcript);
  const say = (message) => transcript.apply({ end: 9, ...message }).forEach((segment) => view.update(segment));
  transcript.beginRun(new Date(0));
  view.beginRun();
  say({ type: "partial", segment: 1, committed: "", tail: "So", start: 0.2 });
  say({ type: "partial", segment: 1, committed: "So it", tail: " was", start: 1.06 });
  assert.deepEqual(stamps(list), ["0:01"]);
  const words = [{ word: "So it was.", start: 6.1, end: 7 }];
  say({ type: "final", segment: 1, text: "So it was.", start: 6.1, words });
  assert.deepEqual(stamps(list), ["0:06"]);
  const later = new Transcript();
  const reloaded = viewOf(later);
  for (const run of transcript.snapshot({ isRecording: false, withTimes: true })) {
    const segments = later.restoreRun(run, { isOver: true });
    reloaded.view.beginRun();
    segments.forEach((segment) => reloaded.view.update(segment));
  }
  assert.deepEqual(stamps(reloaded.list), stamps(list));
  const { runs } = later;
  assert.equal([...runs[0].segments.values()][0].words[0].start, 6.1); // where the subtitle begins
});
