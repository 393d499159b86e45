// Run by test_web.py through `node --test`.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { MESSAGE_SAMPLES, ReplayBuffer, SAMPLE_RATE } from "../../../gateway/web/session/replay-buffer.js";
import { Session } from "../../../gateway/web/session/session.js";

const made = [];
afterEach(() => made.splice(0).forEach((core) => core.check()));

function session(now = 0) {
  made.push(new Session(now));
  return made.at(-1);
}

function buffer(maxUnsentSamples = 1e9, maxKeptSamples = 1e9) {
  made.push(new ReplayBuffer({ maxUnsentSamples, maxKeptSamples }));
  return made.at(-1);
}

/** Samples that count, so that order, gaps and repetitions show. */
function counting(from, length) {
  return Int16Array.from({ length }, (_, i) => (from + i) % 30_000);
}

function say(conversation, message, now = 0) {
  return conversation.onMessage(JSON.stringify(message), now);
}

test("audio leaves in messages of 100 ms, whatever the blocks were, and the rest with the end", () => {
  const conversation = session();
  conversation.onOpen();
  const sent = [];
  for (let position = 0; position < 10_000; position += 743) {
    conversation.capture(counting(position, Math.min(743, 10_000 - position)));
    sent.push(...conversation.takeMessages(0, 0));
  }
  conversation.finish(0);
  sent.push(...conversation.takeMessages(0, 0));
  const sizes = sent.map((message) => message.length);
  assert.deepEqual(sizes, [1_600, 1_600, 1_600, 1_600, 1_600, 1_600, 400, 0]);
  assert.deepEqual(sent.flatMap((message) => [...message]), [...counting(0, 10_000)]);
});

test("what is recorded before the socket opens is sent first", () => {
  const conversation = session();
  conversation.capture(counting(0, 2_000));
  assert.deepEqual(conversation.takeMessages(0, 0), []);
  conversation.onOpen();
  assert.deepEqual(conversation.takeMessages(0, 0), [counting(0, 1_600)]);
});

test("a stop before the socket opens still sends everything and the end", () => {
  const conversation = session();
  conversation.capture(counting(0, 100));
  conversation.finish(0);
  conversation.onOpen();
  assert.deepEqual(conversation.takeMessages(0, 0), [counting(0, 100), new Int16Array(0)]);
});

test("a socket that is not drained gets no more than its two seconds, later the rest in order", () => {
  const conversation = session();
  conversation.onOpen();
  conversation.capture(counting(0, 10 * SAMPLE_RATE));
  const first = conversation.takeMessages(0, 0);
  assert.equal(first.length, 20);
  assert.deepEqual(conversation.takeMessages(64_000, 0), []);
  assert.equal(conversation.unsentS, 8);
  conversation.finish(0);
  const all = [...first];
  for (let messages = conversation.takeMessages(0, 0); messages.length > 0; messages = conversation.takeMessages(0, 0)) {
    all.push(...messages);
  }
  assert.deepEqual(all.flatMap((message) => [...message]), [...counting(0, 10 * SAMPLE_RATE)]);
  assert.equal(all.at(-1).length, 0);
});

test("the end of the audio is sent once", () => {
  const conversation = session();
  conversation.onOpen();
  conversation.finish(0);
  assert.equal(conversation.takeMessages(0, 0).length, 1);
  assert.equal(conversation.takeMessages(0, 0).length, 0);
});

test("five minutes that cannot be sent are full", () => {
  const conversation = session();
  conversation.capture(new Int16Array(300 * SAMPLE_RATE - 1));
  assert.equal(conversation.isFull, false);
  conversation.capture(new Int16Array(1));
  assert.equal(conversation.isFull, true);
});

test("after the stop nothing more is recorded", () => {
  const conversation = session();
  conversation.onOpen();
  conversation.finish(0);
  conversation.capture(counting(0, 5_000));
  assert.deepEqual(conversation.takeMessages(0, 0), [new Int16Array(0)]);
});

test("a session finishes only by ready_to_stop after its end", () => {
  const conversation = session();
  conversation.onOpen();
  conversation.finish(0);
  conversation.takeMessages(0, 0);
  say(conversation, { type: "ready_to_stop", seq: 9, audio: { received: 0, transcribed: 0, silence: 0, unclear: 0, dropped: 0 } });
  assert.deepEqual(conversation.audioAccounting, { received: 0, transcribed: 0, silence: 0, unclear: 0, dropped: 0 });
  assert.equal(conversation.onClose(1000).kind, "finished");
  const other = session();
  other.onOpen();
  other.finish(0);
  other.takeMessages(0, 0);
  assert.equal(other.onClose(1000).kind, "lost");
});

test("each close code says what happened", () => {
  const kinds = { 1006: "lost", 1012: "restarting", 1013: "busy", 4400: "refused", 4401: "unauthorised", 4403: "forbidden", 4409: "replaced" };
  for (const [code, kind] of Object.entries(kinds)) {
    const conversation = session();
    conversation.onOpen();
    assert.equal(conversation.onClose(Number(code)).kind, kind, code);
  }
  assert.equal(session().onClose(1006).kind, "unreachable");
});

test("a close after an error is its consequence; an error that is survived is not", () => {
  const failed = session();
  failed.onOpen();
  say(failed, { type: "error", seq: 1, error: "The worker died.", code: "recognition_failed" });
  assert.deepEqual(failed.onClose(1011).error.error, "The worker died.");
  const survived = session();
  survived.onOpen();
  say(survived, { type: "error", seq: 1, error: "Not understood." });
  say(survived, { type: "partial", seq: 2, segment: 0, committed: "a", tail: "", start: 0, end: 1 });
  assert.equal(survived.onClose(1006).kind, "lost");
});

test("an overload is no lack of slots, though both close with 1013", () => {
  const conversation = session();
  conversation.onOpen();
  say(conversation, { type: "error", seq: 1, error: "Too slow.", code: "overloaded" });
  assert.equal(conversation.onClose(1013).kind, "failed");
});

test("the last sequence number and the config are kept for a later resumption", () => {
  const conversation = session();
  conversation.onOpen();
  say(conversation, { type: "config", seq: 1, session: "s", resume_token: "secret" });
  say(conversation, { type: "status", seq: 2, code: "connected", message: "Connected" });
  assert.equal(conversation.lastSeq, 2);
  assert.equal(conversation.config.resume_token, "secret");
});

test("what is no message of the protocol is passed over", () => {
  const conversation = session();
  for (const text of ["", "{", "null", "7", "[]", '{"seq":1}', '{"type":3}']) {
    assert.equal(conversation.onMessage(text, 0), null, text);
  }
});

test("a server that does not answer is not waited for without end", () => {
  const silent = session(100);
  assert.equal(silent.onDeadline(114.9), null);
  assert.equal(silent.onDeadline(115), "leave");
  assert.equal(silent.onClose(1006).timedOut, "connecting");
  const finishing = session(0);
  finishing.onOpen();
  assert.equal(finishing.onDeadline(1e6), null); // someone may speak for long
  finishing.finish(0);
  finishing.takeMessages(0, 1_000);
  say(finishing, { type: "partial", seq: 1, segment: 0, committed: "", tail: "", start: 0, end: 0 }, 1_050);
  assert.equal(finishing.onDeadline(1_199), null); // it is still at work
  assert.equal(finishing.onDeadline(1_200), "leave");
});

test("audio whose text is final is let go, the rest is kept", () => {
  const box = buffer();
  for (let i = 0; i < 10; i += 1) {
    box.append(counting(i * MESSAGE_SAMPLES, MESSAGE_SAMPLES));
    box.takeMessage({ flush: false });
  }
  assert.equal(box.start, 0);
  box.settle(4 * MESSAGE_SAMPLES + 10);
  assert.equal(box.start, 4 * MESSAGE_SAMPLES);
  box.settle(1e9); // no text comes of what was never sent
  assert.equal(box.settled, box.sent);
  box.settle(0);
  assert.equal(box.settled, box.sent);
});

test("sent audio that is never acknowledged stays bounded; unsent audio is never dropped", () => {
  const box = buffer(1e9, 3 * MESSAGE_SAMPLES);
  for (let i = 0; i < 50; i += 1) {
    box.append(counting(0, MESSAGE_SAMPLES));
  }
  assert.equal(box.start, 0);
  while (box.takeMessage({ flush: false }) !== null) {
    box.check();
  }
  assert.equal(box.captured - box.start, 3 * MESSAGE_SAMPLES);
});

test("audio that is sent again comes from the asked position on, or from the first that is still here", () => {
  const box = buffer(1e9, 3 * MESSAGE_SAMPLES);
  for (let i = 0; i < 10; i += 1) {
    box.append(counting(i * MESSAGE_SAMPLES, MESSAGE_SAMPLES));
    box.takeMessage({ flush: false });
  }
  assert.equal(box.rewind(8 * MESSAGE_SAMPLES + 5), 8 * MESSAGE_SAMPLES + 5);
  assert.deepEqual(box.takeMessage({ flush: false }), counting(8 * MESSAGE_SAMPLES + 5, MESSAGE_SAMPLES));
  assert.equal(box.rewind(0), 7 * MESSAGE_SAMPLES);
  box.settle(1e9);
  assert.equal(box.settled, 7 * MESSAGE_SAMPLES);
  assert.equal(box.rewind(1e9), 10 * MESSAGE_SAMPLES); // nothing more was recorded
});

test("audio that is only sent again does not count as too much", () => {
  const box = buffer(5 * MESSAGE_SAMPLES);
  for (let i = 0; i < 8; i += 1) {
    box.append(new Int16Array(MESSAGE_SAMPLES));
    box.takeMessage({ flush: false });
  }
  box.rewind(0);
  assert.equal(box.unsent, 8 * MESSAGE_SAMPLES);
  box.takeMessage({ flush: false });
  box.append(new Int16Array(4 * MESSAGE_SAMPLES));
  assert.equal(box.isFull, false);
  box.append(new Int16Array(MESSAGE_SAMPLES));
  assert.equal(box.isFull, true);
});
