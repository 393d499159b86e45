// Run by test_web.py through `node --test`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Connection, socketUrl, subprotocols } from "../../../gateway/web/session/connection.js";

/** The browser's end of a socket, as far as a connection uses it. */
class Wire {
  bufferedAmount = 0;
  sent = [];
  closeCode = null;

  constructor(url) {
    this.url = new URL(url);
  }

  send(message) {
    this.sent.push(message);
  }

  close(code) {
    this.closeCode = code;
  }

  /** Say something to the page. */
  say(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }
}

/** Give a clock that stands still until it is told how many milliseconds pass. */
function standStill(t) {
  let now = 0;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(performance, "now", () => now);
  return (ms) => {
    now += ms;
    t.mock.timers.tick(ms);
  };
}

function connect() {
  const wires = [];
  const heard = [];
  const links = [];
  const ends = [];
  const connection = new Connection({
    url: "ws://localhost/asr?mode=events",
    protocols: [],
    onMessage: (message) => heard.push(message),
    onLink: (link) => links.push(link),
    onEnd: (end) => ends.push(end),
    createSocket: (url) => {
      wires.push(new Wire(url));
      return wires.at(-1);
    },
  });
  return { wires, wire: wires[0], heard, links, ends, connection };
}

test("the socket lies beside the page, at any prefix, and is as secure as the page", () => {
  const plain = { language: "", task: "" };
  assert.equal(socketUrl("http://localhost:8000/", plain), "ws://localhost:8000/asr?mode=events");
  assert.equal(socketUrl("https://a.example/live/?x=1#y", plain), "wss://a.example/live/asr?mode=events");
  assert.equal(socketUrl("https://a.example/live/index.html", plain), "wss://a.example/live/asr?mode=events");
  const french = { language: "fr", task: "translate" };
  assert.equal(socketUrl("http://a/", french), "ws://a/asr?mode=events&language=fr&task=translate");
});

test("a token travels as a subprotocol that every server may parse", () => {
  assert.deepEqual(subprotocols(""), []);
  assert.deepEqual(subprotocols("abc"), ["whisperlive", "token.YWJj"]);
  const [, carried] = subprotocols("ÿ?~ü→");
  assert.match(carried, /^token\.[A-Za-z0-9_-]+$/);
  assert.equal(Buffer.from(carried.slice(6), "base64url").toString(), "ÿ?~ü→");
});

test("a whole conversation: audio out, words in, the end, one report of it", () => {
  const { wire, heard, ends, connection } = connect();
  connection.send(new Int16Array(2_000));
  assert.equal(wire.sent.length, 0);
  wire.onopen();
  connection.send(new Int16Array(1_500));
  connection.finish();
  assert.deepEqual(wire.sent.map((message) => message.length), [1_600, 1_600, 300, 0]);
  wire.onmessage({ data: JSON.stringify({ type: "final", seq: 1, segment: 0, text: "so", start: 0, end: 1 }) });
  wire.onmessage({ data: new ArrayBuffer(8) }); // binary is not of this protocol
  wire.onmessage({ data: JSON.stringify({ type: "ready_to_stop", seq: 2, audio: { dropped: 0 } }) });
  assert.equal(wire.closeCode, 1000);
  wire.onclose({ code: 1000 });
  assert.equal(wire.onclose, null);
  assert.deepEqual(heard.map(({ type }) => type), ["final", "ready_to_stop"]);
  assert.deepEqual(ends.map(({ kind }) => kind), ["finished"]);
});

test("audio that a slow socket leaves waiting goes out when it drains, without new audio", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { wire, connection } = connect();
  wire.onopen();
  wire.bufferedAmount = 1e6;
  connection.send(new Int16Array(3_200));
  t.mock.timers.tick(100);
  assert.equal(wire.sent.length, 0);
  wire.bufferedAmount = 0;
  t.mock.timers.tick(100);
  assert.equal(wire.sent.length, 2);
});

test("a peer that never closes is left after a while", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { ends, connection, wire } = connect();
  wire.onopen();
  connection.finish();
  wire.say({ type: "ready_to_stop", seq: 1 });
  t.mock.timers.tick(2_999);
  assert.equal(ends.length, 0);
  t.mock.timers.tick(1);
  assert.deepEqual(ends.map(({ kind }) => kind), ["finished"]);
});

test("a lost connection is made again with the resume token, and audio goes on where the server has it", (t) => {
  const pass = standStill(t);
  const { wires, wire, links, ends, connection } = connect();
  wire.onopen();
  wire.say({ type: "config", seq: 1, resume_token: "se/cret", resumed: false, received: 0 });
  connection.send(new Int16Array(3_200));
  wire.say({ type: "status", seq: 2, code: "ready", message: "Ready to transcribe", gpu_id: 0 });
  wire.onclose({ code: 1006 });
  assert.deepEqual(links, ["down"]);
  connection.send(new Int16Array(1_600));
  pass(301);
  assert.equal(wires.length, 2);
  assert.equal(wires[1].url.search, "?mode=events&resume=se%2Fcret&last_seq=2");
  wires[1].onopen();
  assert.deepEqual(wires[1].sent, []);
  wires[1].say({ type: "config", seq: 3, resume_token: "se/cret", resumed: true, received: 1_000 });
  assert.deepEqual(links, ["down", "up"]);
  assert.deepEqual(wires[1].sent.map((message) => message.length), [1_600, 1_600]);
  assert.deepEqual(ends, []);
});

test("a page that goes away leaves its session to a later one, with a close that is no goodbye", (t) => {
  standStill(t);
  const { wire, ends, heard, connection } = connect();
  wire.onopen();
  wire.say({ type: "config", seq: 1, resume_token: "r", session: "s" });
  connection.detach();
  assert.equal(wire.closeCode, 4000);
  assert.deepEqual([wire.onmessage, wire.onclose, ends], [null, null, []]);
  const checkpoint = connection.session.checkpoint(0);
  const wires = [];
  const later = new Connection({
    url: "ws://localhost/asr?mode=events",
    protocols: [],
    onMessage: (message) => heard.push(message),
    onLink: () => {},
    onEnd: () => {},
    checkpoint,
    createSocket: (url) => {
      wires.push(new Wire(url));
      return wires.at(-1);
    },
  });
  assert.equal(wires[0].url.search, "?mode=events&resume=r&last_seq=1");
  wires[0].onopen();
  wires[0].say({ type: "config", seq: 2, resume_token: "r", session: "s", resumed: true, received: 0 });
  later.send(new Int16Array(1_600));
  assert.deepEqual(wires[0].sent.map((message) => message.length), [1_600]);
});

test("a try that does not get through is given up for the next one, and nothing of it is heard any more", (t) => {
  const pass = standStill(t);
  const { wires, wire, heard, connection } = connect();
  wire.onopen();
  wire.say({ type: "config", seq: 1, resume_token: "r" });
  wire.onclose({ code: 1006 });
  connection.retry(); // at once: the browser says that the network is back
  pass(0);
  assert.equal(wires.length, 2);
  pass(8_000);
  assert.equal(wires[1].closeCode, 4000);
  assert.equal(wires[1].onmessage, null);
  pass(5_000);
  assert.equal(wires.length, 3);
  assert.deepEqual(heard.map(({ type }) => type), ["config"]);
});
