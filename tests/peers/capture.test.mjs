// Run by test_page_session.py through `node --test`: a microphone that gives nothing any more, with a browser in outline.
import assert from "node:assert/strict";
import { test } from "node:test";

import { CaptureWatch } from "../../gateway/web/audio/capture-watch.js";
import { Microphone } from "../../gateway/web/audio/microphone.js";
import { MicrophoneHints } from "../../gateway/web/page/microphone-hints.js";
import { CAPTURE_NOTICES } from "../../gateway/web/page/strings.js";
import { Controls } from "../gateway/web/notices.mjs";

/** Open a microphone of a browser in outline, with its hints; `block` lets a block come, and `pass` time. */
async function open(t, { state = "running", resume = async () => {} } = {}) {
  t.mock.timers.enable({ apis: ["setInterval", "setTimeout"] });
  const made = {};
  const track = { stop() {}, muted: false };
  globalThis.isSecureContext = true;
  globalThis.AudioContext = class {
    sampleRate = 48_000;
    state = state;
    audioWorklet = { addModule: async () => {} };
    resume = resume;

    constructor() {
      made.context = this;
    }

    createMediaStreamSource() {
      return { connect() {} };
    }
  };
  globalThis.AudioWorkletNode = class {
    port = { postMessage() {} };

    constructor() {
      made.node = this;
    }

    connect() {}
  };
  const stream = { getTracks: () => [track], getAudioTracks: () => [track] };
  const navigator = { mediaDevices: { getUserMedia: async () => stream } };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  const controls = new Controls();
  const hints = new MicrophoneHints(controls);
  let recordedS = 0;
  await Microphone.open({
    onSamples: (pcm) => (recordedS += pcm.length / 16_000),
    onLevel: (_peak, isSound) => hints.onLevel(isSound, recordedS),
    onProblem: (problem) => hints.onProblem(problem),
    onLost: () => assert.fail("the device was not disconnected"),
  });
  const block = (peak = 0.1) => made.node.port.onmessage({ data: new Float32Array(2_048).fill(peak) });
  const pass = (seconds, each = () => {}) => {
    for (let i = 0; i < seconds; i += 1) {
      t.mock.timers.tick(1_000);
      each();
    }
  };
  return { ...made, track, controls, block, pass };
}

test("fault 24: audio that is suspended from the start is told within five seconds, and taken back when blocks come", async (t) => {
  const { controls, pass, block, context } = await open(t, { state: "suspended", resume: () => new Promise(() => {}) });
  pass(2);
  assert.equal(controls.notice, null); // a browser may take a moment
  pass(3);
  assert.equal(controls.notice, CAPTURE_NOTICES.suspended);
  context.state = "running";
  context.onstatechange();
  block();
  assert.equal(controls.notice, null);
});

test("fault 24: blocks that stop while nothing else is said are told, and taken back when they come again", async (t) => {
  const { controls, pass, block } = await open(t);
  pass(10, block);
  assert.equal(controls.notice, null);
  pass(5);
  assert.equal(controls.notice, CAPTURE_NOTICES.stalled);
  block(0);
  assert.equal(controls.notice, null);
});

test("fault 24: a device that mutes itself is told, whether silence comes of it or nothing", async (t) => {
  const { controls, pass, block, track } = await open(t);
  track.onmute();
  pass(5, () => block(0));
  assert.equal(controls.notice, CAPTURE_NOTICES.muted);
  track.onunmute();
  pass(1, block);
  assert.equal(controls.notice, null);
  track.onmute();
  pass(5);
  assert.equal(controls.notice, CAPTURE_NOTICES.muted);
  block(); // it says that it is muted, and is not
  assert.equal(controls.notice, null);
});

test("fault 24: a resume that the browser rejects is no unhandled error, and is tried again", async (t) => {
  let tries = 0;
  const resume = async () => {
    tries += 1;
    throw new DOMException("", "NotAllowedError");
  };
  const { controls, pass } = await open(t, { state: "interrupted", resume });
  pass(5);
  await Promise.resolve(); // node ends this test with any rejection that nobody has taken
  assert.ok(tries > 3, String(tries));
  assert.equal(controls.notice, CAPTURE_NOTICES.suspended);
});

test("fault 24: a computer that slept for an hour is told nothing", () => {
  const watch = new CaptureWatch();
  watch.onBlock(true);
  watch.onTick(); // the only one of that hour
  watch.onTick();
  assert.equal(watch.problem, null);
});
