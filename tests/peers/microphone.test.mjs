// Run by test_peers.py through `node --test`: the sound card's quanta through worklet, resampler and buffer, as on the page.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ReplayBuffer } from "../../gateway/web/session/replay-buffer.js";
import { OUTPUT_RATE, Resampler, toPcm16 } from "../../gateway/web/audio/resampler.js";

const QUANTUM = 128;
const LENGTH_S = 60;
const CLICK_S = 59;

/** Load the recorder as an audio thread does, and return its class. */
async function recorder() {
  let found = null;
  globalThis.AudioWorkletProcessor = class {
    port = { postMessage: null, onmessage: null };
  };
  globalThis.registerProcessor = (_name, processor) => {
    found = processor;
  };
  await import("../../gateway/web/audio/recorder-worklet.js");
  return found;
}

const Recorder = await recorder();

for (const rate of [44_100, 48_000]) {
  test(`a minute at ${rate} Hz is a minute, and what happens in its last second is heard there`, () => {
    const resampler = new Resampler(rate);
    const buffer = new ReplayBuffer({ maxUnsentSamples: 1_600_000, maxKeptSamples: 1_600_000 });
    const pieces = [];
    let blocks = 0;
    const processor = new Recorder();
    processor.port.postMessage = (block) => {
      const pcm = toPcm16(block === null ? resampler.flush() : resampler.push(block));
      blocks += block === null ? 0 : 1;
      buffer.append(pcm);
      for (let message = buffer.takeMessage({ flush: false }); message !== null; message = buffer.takeMessage({ flush: false })) {
        pieces.push(message);
      }
    };
    for (let at = 0; at < LENGTH_S * rate; at += QUANTUM) {
      const quantum = new Float32Array(Math.min(QUANTUM, LENGTH_S * rate - at));
      const click = CLICK_S * rate - at;
      if (click >= 0 && click < quantum.length) {
        quantum[click] = 1;
      }
      processor.process([[quantum]]);
    }
    processor.port.onmessage({ data: "stop" });
    assert.equal(buffer.captured, LENGTH_S * OUTPUT_RATE);
    assert.ok(blocks < 25 * LENGTH_S, `${blocks} blocks`);
    assert.ok(pieces.length <= 10 * LENGTH_S, `${pieces.length} messages`);
    const heard = Int16Array.from(pieces.flatMap((piece) => [...piece]));
    const loudest = heard.reduce((best, value, i) => (Math.abs(value) > Math.abs(heard[best]) ? i : best), 0);
    assert.ok(Math.abs(heard[loudest]) > 1_000, `a click of ${heard[loudest]}`);
    assert.ok(Math.abs(loudest - CLICK_S * OUTPUT_RATE) <= 1, `heard at ${loudest / OUTPUT_RATE} s`);
  });
}
