// Run by test_web.py through `node --test`: the monitor's texts and charts.

import assert from "node:assert/strict";
import { test } from "node:test";

import { AreaChart, BarChart } from "../../../gateway/web/monitor/charts.js";
import { describe } from "../../../gateway/web/monitor/event-list.js";
import { duration, gigabytes, lagText, niceCeiling, setupText } from "../../../gateway/web/monitor/format.js";

test("lengths of time are short and unmistakable", () => {
  const cases = [[0, "0:00"], [42.4, "0:42"], [192, "3:12"], [3_849, "1:04:09"], [86_400 * 2 + 3_600 * 3, "2 d 3 h"], [-1, "0:00"]];
  cases.forEach(([seconds, text]) => assert.equal(duration(seconds), text));
});

test("figures have the digits that matter, and their unit", () => {
  assert.deepEqual(lagText(0.26), ["0.3", "\u202fs"]);
  assert.deepEqual(lagText(12.6), ["13", "\u202fs"]);
  assert.deepEqual(setupText(612.4), ["612", "\u202fms"]);
  assert.deepEqual(setupText(2_346), ["2.3", "\u202fs"]);
  assert.deepEqual(setupText(23_460), ["23", "\u202fs"]);
  assert.deepEqual([0.216, 7.45, 65.7].map(gigabytes), ["0.22", "7.5", "66"]);
});

test("a scale ends at a round figure that holds all values", () => {
  for (let value = 0.013; value < 1e6; value *= 1.07) {
    const top = niceCeiling(value);
    assert.ok(top >= value && top <= value * 1.5 + 1e-9, `${top} for ${value}`);
  }
  assert.equal(niceCeiling(2), 2);
  assert.equal(niceCeiling(1_000), 1_000);
});

test("an area is closed, and broken where nothing was seen", () => {
  const y = (value) => 100 - value;
  assert.equal(AreaChart.prototype.path([null, 10, 20, null, 5], y), "M1 100V90H2V80H3V100M4 100V95H5V100");
  assert.equal(AreaChart.prototype.path([null, null], y), "");
});

test("a bar stands wherever something was seen, however small", () => {
  const y = (value) => 100 - value;
  assert.equal(BarChart.prototype.path([null, 40, 0], y), "M1.5 100V60M2.5 100V98");
});

test("every event is a sentence", () => {
  const said = (event) => describe({ count: 1, ...event }).join(" | ");
  assert.equal(said({ kind: "allocated", session: "a", gpu_id: 0 }), "a got a slot on GPU 0 | ");
  assert.equal(said({ kind: "moved", session: "a", gpu_id: 2, from_gpu: 0, detail: "worker_lost, 9 ms" }), "a moved, GPU 0 → 2 | worker lost, 9 ms");
  assert.equal(said({ kind: "moved", session: "a", gpu_id: 2, detail: "resume, 9 ms" }), "a is back on GPU 2 | resume, 9 ms");
  assert.equal(said({ kind: "ended", session: "a", detail: "client_left" }), "a left | ");
  assert.equal(said({ kind: "ended", session: "a", detail: "recognition_failed" }), "a was ended | recognition failed");
  assert.equal(said({ kind: "refused", count: 3, detail: "no_capacity" }), "3 sessions were refused | no slot was free");
  assert.equal(said({ kind: "refused", detail: "bad_token" }), "A session was refused | bad token");
  assert.equal(said({ kind: "lost", gpu_id: 1, detail: "silent for 2.1 s" }), "GPU 1 is lost | silent for 2.1 s");
  assert.equal(said({ kind: "stopped", gpu_id: 1 }), "GPU 1 has stopped | ");
  assert.equal(said({ kind: "some_day" }), "some day | ");
});
