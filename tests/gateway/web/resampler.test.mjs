// Run by test_web.py through `node --test`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { OUTPUT_RATE, Resampler, toPcm16 } from "../../../gateway/web/audio/resampler.js";

const RATES = [44_100, 48_000];

function sine(frequency, rate, length) {
  return Float32Array.from({ length }, (_, i) => 0.5 * Math.sin((2 * Math.PI * frequency * i) / rate));
}

function joined(blocks) {
  const whole = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
  let offset = 0;
  for (const block of blocks) {
    whole.set(block, offset);
    offset += block.length;
  }
  return whole;
}

function oneShot(input, rate) {
  const resampler = new Resampler(rate);
  return joined([resampler.push(input), resampler.flush()]);
}

function decibels(ratio) {
  return 20 * Math.log10(ratio);
}

/** Fit a sine of the known frequency; return its gain and phase and what is left beside it, all in its own terms. */
function fit(output, frequency) {
  let inPhase = 0;
  let quadrature = 0;
  const angle = (i) => (2 * Math.PI * frequency * i) / OUTPUT_RATE;
  const edge = 800; // the filter's start and end are no steady state
  const length = output.length - 2 * edge;
  for (let i = edge; i < output.length - edge; i += 1) {
    inPhase += (2 / length) * output[i] * Math.sin(angle(i));
    quadrature += (2 / length) * output[i] * Math.cos(angle(i));
  }
  let residue = 0;
  for (let i = edge; i < output.length - edge; i += 1) {
    residue += (output[i] - inPhase * Math.sin(angle(i)) - quadrature * Math.cos(angle(i))) ** 2 / length;
  }
  return {
    gainDb: decibels(Math.hypot(inPhase, quadrature) / 0.5),
    phase: Math.atan2(quadrature, inPhase),
    residueDb: decibels(Math.sqrt(2 * residue) / 0.5),
  };
}

for (const rate of [8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]) {
  test(`N samples at ${rate} Hz give ceil(N * 16000 / rate), for any N`, () => {
    for (const length of [0, 1, 2, 3, 127, 128, 129, 441, 4_411, rate + 1]) {
      const expected = Math.ceil((length * OUTPUT_RATE) / rate);
      assert.equal(oneShot(new Float32Array(length), rate).length, expected, `${length} samples`);
    }
  });
}

for (const rate of RATES) {
  test(`two minutes at ${rate} Hz in worklet blocks do not drift by a sample`, () => {
    const resampler = new Resampler(rate);
    const block = new Float32Array(2_048);
    let given = 0;
    let got = 0;
    while (given < rate * 120) {
      const part = block.subarray(0, Math.min(block.length, rate * 120 - given));
      got += resampler.push(part).length;
      given += part.length;
    }
    assert.equal(got + resampler.flush().length, 120 * OUTPUT_RATE);
  });

  test(`blocks of any size at ${rate} Hz give the very samples of one block`, () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const input = Float32Array.from({ length: 30_000 }, () => 2 * random() - 1);
    const resampler = new Resampler(rate);
    const parts = [];
    for (let i = 0; i < input.length; ) {
      const size = Math.floor(random() * random() * 3_000); // small ones, empty ones too
      parts.push(resampler.push(input.subarray(i, i + size)));
      i += size;
    }
    parts.push(resampler.flush());
    assert.deepEqual(joined(parts), oneShot(input, rate));
  });

  test(`a sine up to 7 kHz at ${rate} Hz keeps its level, its time and nothing beside it`, () => {
    for (const frequency of [50, 100, 440, 1_000, 2_500, 4_000, 5_500, 6_500, 7_000]) {
      const { gainDb, phase, residueDb } = fit(oneShot(sine(frequency, rate, rate / 2), rate), frequency);
      assert.ok(Math.abs(gainDb) < 0.5, `${frequency} Hz: gain ${gainDb} dB`);
      assert.ok(Math.abs(phase) < 0.001, `${frequency} Hz: phase ${phase}`);
      assert.ok(residueDb < -60, `${frequency} Hz: residue ${residueDb} dB`);
    }
  });

  test(`a sine from 8 kHz up at ${rate} Hz is at least 60 dB down, so that nothing folds back`, () => {
    for (let frequency = 8_000; frequency < rate / 2; frequency += 370) {
      const output = oneShot(sine(frequency, rate, rate / 2), rate).subarray(800, -800);
      const level = Math.sqrt((2 * output.reduce((sum, value) => sum + value * value, 0)) / output.length);
      assert.ok(decibels(level / 0.5) < -60, `${frequency} Hz: ${decibels(level / 0.5)} dB`);
    }
  });
}

test("a headset at 8 kHz is brought up without images above its 4 kHz", () => {
  const { gainDb, residueDb } = fit(oneShot(sine(3_000, 8_000, 8_000), 8_000), 3_000);
  assert.ok(Math.abs(gainDb) < 0.5, `gain ${gainDb} dB`);
  assert.ok(residueDb < -60, `residue ${residueDb} dB`);
});

test("16 kHz passes through untouched", () => {
  const input = sine(7_900, OUTPUT_RATE, 1_000);
  assert.deepEqual(oneShot(input, OUTPUT_RATE), input);
});

test("a rate that no device has is refused", () => {
  assert.throws(() => new Resampler(0), RangeError);
  assert.throws(() => new Resampler(44_100.5), RangeError);
});

test("samples become 16 bits, and what is too loud is clipped", () => {
  const pcm = toPcm16(Float32Array.of(0, 0.5, -0.5, 1, -1, 7, -7, 1 / 32_768));
  assert.deepEqual([...pcm], [0, 16_384, -16_384, 32_767, -32_768, 32_767, -32_768, 1]);
});
