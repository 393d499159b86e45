// Run by test_web.py through `node --test`: the microphone and the notices about it, with a browser as far as they use it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Microphone } from "../../../gateway/web/audio/microphone.js";
import { MicrophoneHints } from "../../../gateway/web/page/microphone-hints.js";
import { MICROPHONE_SILENT, microphoneNotice } from "../../../gateway/web/page/strings.js";
import { Controls } from "./notices.mjs";

function setUp() {
  const controls = new Controls();
  return { controls, hints: new MicrophoneHints(controls) };
}

/** Replace the browser's interfaces by ones that call these functions; return how many tracks and contexts are released. */
function browser(getUserMedia, addModule) {
  const released = { tracks: 0, contexts: 0 };
  const stream = { getTracks: () => [{ stop: () => (released.tracks += 1) }] };
  globalThis.isSecureContext = true;
  globalThis.AudioContext = class {
    audioWorklet = { addModule };

    async close() {
      released.contexts += 1;
    }
  };
  const mediaDevices = { getUserMedia: async () => getUserMedia() ?? stream };
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
  return released;
}

function abort() {
  throw new DOMException("", "AbortError");
}

test("a recorder that cannot be loaded is not told as a microphone in use, and the microphone is released", async () => {
  const released = browser(() => null, async () => abort());
  const { name } = await Microphone.open({}).catch((error) => error);
  assert.match(microphoneNotice(name).title, /recorder could not be loaded/);
  assert.equal(microphoneNotice(name).canRetry, true);
  assert.deepEqual(released, { tracks: 1, contexts: 1 });
});

test("a microphone that another program uses is told so", async () => {
  const released = browser(abort, async () => {});
  const { name } = await Microphone.open({}).catch((error) => error);
  assert.match(microphoneNotice(name).title, /in use/);
  assert.deepEqual(released, { tracks: 0, contexts: 1 });
});

test("silence is told after four seconds, and no longer than it lasts", () => {
  const { controls, hints } = setUp();
  hints.onLevel(false, 0);
  hints.onLevel(false, 4);
  assert.equal(controls.notice, null);
  hints.onLevel(false, 4.1);
  assert.equal(controls.notice, MICROPHONE_SILENT);
  hints.onLevel(true, 4.2);
  assert.equal(controls.notice, null);
});

test("silence is counted from where a restored recording begins", () => {
  const { controls, hints } = setUp();
  hints.onLevel(false, 60);
  hints.onLevel(false, 63.9);
  assert.equal(controls.notice, null);
  hints.onLevel(false, 64.1);
  assert.equal(controls.notice, MICROPHONE_SILENT);
});

test("after the stop nothing is said of silence, and another notice stays", () => {
  const { controls, hints } = setUp();
  [0, 5].forEach((nowS) => hints.onLevel(false, nowS));
  hints.onStop();
  assert.equal(controls.notice, null);
  [6, 11].forEach((nowS) => hints.onLevel(false, nowS));
  const other = { title: "Another", detail: "" };
  controls.showNotice(other);
  hints.onStop();
  assert.equal(controls.notice, other);
});
