// Run by test_web.py through `node --test`.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { fromBase64, toBase64 } from "../../../gateway/web/audio/pcm-base64.js";
import { Backoff } from "../../../gateway/web/session/backoff.js";
import { MESSAGE_SAMPLES, SAMPLE_RATE } from "../../../gateway/web/session/replay-buffer.js";
import { Session } from "../../../gateway/web/session/session.js";

const LEAST = 0; // random delay
const made = [];
afterEach(() => made.splice(0).forEach((core) => core.check()));

/** Samples that count, so that order, gaps and repetitions show. */
function counting(from, to) {
  return Int16Array.from({ length: to - from }, (_, i) => (from + i) % 30_000);
}

/** The server has every sample from one position to another, in order; less than a message may still wait. */
function assertGapless({ got, session }, from, to) {
  const wrong = got.findIndex((sample, i) => sample !== (from + i) % 30_000);
  assert.equal(wrong, -1, `sample ${wrong} of ${got.length}`);
  const missing = to - from - got.length;
  assert.ok(missing >= 0 && missing < (session.state === "open" ? MESSAGE_SAMPLES : 1), `${missing} samples are missing`);
}

/** A recording with its server: it plays by the protocol and keeps what it gets. */
class Talk {
  now = 0;
  seq = 0;
  got = []; // samples of the present session of the server
  ends = 0;

  constructor() {
    this.session = new Session(0);
    made.push(this.session);
    this.session.onOpen();
    this.say({ type: "config", resume_token: "r1", resumed: false, received: 0 });
    this.say({ type: "status", code: "ready", message: "Ready to transcribe", gpu_id: 0 });
  }

  say(message) {
    this.seq += 1;
    return this.session.onMessage(JSON.stringify({ ...message, seq: this.seq }), this.now);
  }

  final(segment, start, end) {
    return this.say({ type: "final", segment, text: "So.", start, end, words: [{ word: " So.", start, end }] });
  }

  /** Record up to a second, and send what may be sent. */
  record(untilS) {
    const from = this.session.capturedS * SAMPLE_RATE;
    this.session.capture(counting(from, untilS * SAMPLE_RATE));
    this.now = Math.max(this.now, untilS);
    this.pump();
  }

  pump() {
    for (let messages = this.session.takeMessages(0, this.now); messages.length > 0; messages = this.session.takeMessages(0, this.now)) {
      messages.forEach((message) => message.forEach((sample) => this.got.push(sample)));
      this.ends += messages.filter((message) => message.length === 0).length;
    }
  }

  lose(code = 1006) {
    return this.session.onClose(code, this.now, LEAST);
  }

  /** Let the next try be due, and its socket open. */
  reopen() {
    this.now = Math.max(this.now, this.session.deadline);
    assert.equal(this.session.onDeadline(this.now), "connect");
    this.session.onOpen();
    assert.equal(this.session.link, "down");
  }

  /** Reconnect to a server that has this many samples of the session. */
  resume(received) {
    this.reopen();
    this.got.length = received;
    const { resume_token } = this.session.config;
    this.say({ type: "config", resume_token, resumed: true, received });
    this.pump();
  }

  /** Come back to a server that has forgotten the session. */
  restart({ gpuId = 1 } = {}) {
    this.reopen();
    this.got = [];
    this.seq = 0;
    this.say({ type: "config", resume_token: "r2", resumed: false, received: 0 });
    this.pump();
    if (gpuId !== null) {
      this.say({ type: "status", code: "loading", message: "Loading models on GPU 1...", gpu_id: gpuId });
    }
  }
}

for (const code of [1000, 1001, 1006, 1011, 1012]) {
  test(`after a close with ${code} audio goes on from the sample that the server has next`, () => {
    const talk = new Talk();
    talk.record(4);
    assert.equal(talk.lose(code), null);
    talk.record(6); // the microphone goes on
    assert.equal(talk.session.link, "down");
    talk.resume(3.33 * SAMPLE_RATE);
    talk.record(7);
    assert.equal(talk.session.link, "up");
    assertGapless(talk, 0, 7 * SAMPLE_RATE);
  });
}

test("twice lost, and once more before the first message, nothing is missing or doubled", () => {
  const talk = new Talk();
  talk.record(2);
  talk.lose();
  talk.resume(1.5 * SAMPLE_RATE);
  talk.record(3);
  talk.lose();
  talk.reopen();
  assert.equal(talk.lose(), null);
  talk.record(5);
  talk.resume(2.75 * SAMPLE_RATE);
  assertGapless(talk, 0, 5 * SAMPLE_RATE);
});

test("a server that began anew gets everything after the last final text, and its times are moved to ours", () => {
  const talk = new Talk();
  talk.record(10);
  assert.equal(talk.final(1, 0.5, 6.25).part, 0);
  talk.say({ type: "ack", received: 10 * SAMPLE_RATE, committed_until: 8 * SAMPLE_RATE });
  talk.lose();
  talk.record(12);
  talk.restart();
  assertGapless(talk, 6.25 * SAMPLE_RATE, 12 * SAMPLE_RATE);
  const { part, start, end, words } = talk.final(1, 1, 2.5);
  assert.deepEqual({ part, start, end, words }, { part: 1, start: 7.25, end: 8.75, words: [{ word: " So.", start: 7.25, end: 8.75 }] });

  assert.equal(talk.session.config.resume_token, "r2");
  talk.lose(); // that one may be resumed ...
  talk.resume(3 * SAMPLE_RATE);
  assertGapless(talk, 6.25 * SAMPLE_RATE, 12 * SAMPLE_RATE);
  talk.lose(); // ... and forgotten in its turn
  talk.restart();
  assertGapless(talk, 8.75 * SAMPLE_RATE, 12 * SAMPLE_RATE);
  assert.equal(talk.say({ type: "partial", segment: 1, committed: "", tail: "So", start: 0, end: 1 }).start, 8.75);
});

test("a restart is told by its error even when the socket just breaks", () => {
  const talk = new Talk();
  talk.say({ type: "error", error: "The service restarts", code: "service_restart" });
  assert.equal(talk.lose(1006), null);
  assert.equal(talk.session.lossKind, "restarting");
});

test("the end of the audio is told again after the audio, until the server has said its last", () => {
  const talk = new Talk();
  talk.record(3);
  talk.session.finish(3);
  talk.pump();
  assert.equal(talk.ends, 1);
  talk.lose();
  talk.resume(2 * SAMPLE_RATE);
  assert.equal(talk.ends, 2);
  assertGapless(talk, 0, 3 * SAMPLE_RATE);
  talk.say({ type: "ready_to_stop", audio: { received: 3 * SAMPLE_RATE, dropped: 0 } });
  assert.equal(talk.lose(1000).kind, "finished");
});

test("a stop while there is no connection sends what was recorded and the end once there is", () => {
  const talk = new Talk();
  talk.record(2);
  talk.lose();
  talk.record(4);
  talk.session.finish(4);
  assert.equal(talk.session.link, "down");
  talk.resume(SAMPLE_RATE);
  assertGapless(talk, 0, 4 * SAMPLE_RATE);
  assert.equal(talk.ends, 1);
});

test("who is replaced, refused or at a limit does not come back", () => {
  const kinds = { 4409: "replaced", 4400: "refused", 4401: "unauthorised", 4403: "forbidden", 4408: "limit", 1009: "refused" };
  for (const [code, kind] of Object.entries(kinds)) {
    const talk = new Talk();
    talk.record(1);
    assert.equal(talk.lose(Number(code)).kind, kind);
    assert.equal(talk.session.deadline, Infinity);
  }
  const failed = new Talk();
  failed.say({ type: "error", error: "Recognition failed 3 times", code: "recognition_failed" });
  assert.equal(failed.lose(1011).kind, "failed");
});

test("a server that was never reached, or never had a slot, is not asked again by itself", () => {
  const unreachable = new Session(0);
  assert.equal(unreachable.onClose(1006, 1, LEAST).kind, "unreachable");
  const busy = new Session(0);
  busy.onOpen();
  busy.onMessage(JSON.stringify({ type: "config", resume_token: "r" }), 0);
  busy.onMessage(JSON.stringify({ type: "error", error: "No GPU", code: "no_capacity", retry_after_s: 5 }), 0);
  assert.equal(busy.onClose(1013, 1, LEAST).kind, "busy");
});

test("who had a slot waits for another as long as the server asks for, and says so until it has one", () => {
  const talk = new Talk();
  talk.record(2);
  talk.lose();
  talk.restart({ gpuId: null });
  assert.equal(talk.session.link, "down"); // greeted, but without a slot nothing is restored
  talk.say({ type: "error", error: "No GPU resources available", code: "no_capacity", retry_after_s: 5 });
  const before = talk.now;
  assert.equal(talk.lose(1013), null);
  assert.equal(talk.session.link, "queued");
  assert.ok(talk.session.deadline >= before + 5);
  talk.now = talk.session.deadline;
  talk.session.onDeadline(talk.now);
  talk.session.onOpen();
  talk.got = [];
  talk.say({ type: "config", resume_token: "r3", resumed: false, received: 0 });
  assert.equal(talk.session.link, "queued");
  talk.say({ type: "status", code: "loading", message: "Loading models on GPU 3...", gpu_id: 3 });
  assert.equal(talk.session.link, "up");
  talk.pump();
  assertGapless(talk, 0, 2 * SAMPLE_RATE);
});

test("after a minute in vain it waits for a person, with all audio, and then goes on", () => {
  const talk = new Talk();
  talk.record(2);
  talk.lose();
  let tries = 0;
  while (talk.session.link === "down") {
    talk.now = talk.session.deadline;
    assert.equal(talk.session.onDeadline(talk.now), "connect");
    assert.equal(talk.lose(), null);
    tries += 1;
  }
  assert.equal(talk.session.link, "gave-up");
  assert.equal(talk.session.deadline, Infinity);
  assert.ok(talk.now > 40 && talk.now <= 62, `${talk.now} s`);
  assert.ok(tries > 10 && tries < 40, `${tries} tries`);
  talk.record(200);
  talk.session.retry(200);
  assert.equal(talk.session.deadline, 200);
  talk.resume(SAMPLE_RATE);
  assertGapless(talk, 0, 200 * SAMPLE_RATE);
});

test("each outage has its own minute, once audio was answered; a greeting alone begins none", () => {
  const talk = new Talk();
  const delay = () => Math.round(100 * (talk.session.deadline - talk.now));
  talk.lose();
  assert.equal(delay(), 15);
  talk.resume(0);
  talk.lose();
  assert.equal(delay(), 30);
  talk.resume(0);
  talk.record(1);
  talk.say({ type: "ack", received: SAMPLE_RATE, committed_until: 0 });
  talk.lose();
  assert.equal(delay(), 15);
});

test("a stop after giving up is another attempt", () => {
  const talk = new Talk();
  talk.lose();
  while (talk.session.link === "down") {
    talk.now = talk.session.deadline;
    talk.session.onDeadline(talk.now);
    talk.lose();
  }
  talk.session.finish(talk.now);
  assert.equal(talk.session.link, "down");
  assert.equal(talk.session.deadline, talk.now);
});

test("the network's return is used at once; without an outage it changes nothing", () => {
  const talk = new Talk();
  talk.session.retry(0);
  assert.equal(talk.session.link, "up");
  assert.equal(talk.session.onDeadline(0), null);
  talk.lose();
  assert.equal(talk.session.onDeadline(0), null);
  talk.session.retry(0);
  assert.equal(talk.session.onDeadline(0), "connect");
  talk.session.retry(0); // a try is on its way
  assert.equal(talk.session.onDeadline(0), null);
});

test("a socket over which nothing is answered any more is dropped; one in which nothing was asked is not", () => {
  const talk = new Talk();
  talk.record(1);
  talk.say({ type: "ack", received: SAMPLE_RATE, committed_until: 0 });
  assert.equal(talk.session.onDeadline(1_000), null);
  talk.now = 1_000; // the system had paused the microphone
  talk.record(4);
  assert.equal(talk.session.onDeadline(1_029), null);
  assert.equal(talk.session.onDeadline(1_030), "drop");
  assert.equal(talk.lose(), null);
  talk.resume(2 * SAMPLE_RATE);
  assertGapless(talk, 0, 4 * SAMPLE_RATE);
  assert.equal(talk.session.onDeadline(2_000), null); // it has greeted, and does not answer audio before it is ready
});

test("while the server looks for a slot its silence is no loss", () => {
  const talk = new Talk();
  talk.say({ type: "status", code: "waiting", message: "Waiting for a free GPU..." });
  talk.record(100);
  assert.equal(talk.session.onDeadline(1_000), null);
});

test("a server that is silent after the end is asked once by another socket, then left", () => {
  const talk = new Talk();
  talk.record(3);
  talk.session.finish(3);
  talk.pump();
  talk.say({ type: "partial", segment: 1, committed: "", tail: "So", start: 0, end: 1 });
  assert.equal(talk.session.onDeadline(32.9), null);
  assert.equal(talk.session.onDeadline(33), "drop");
  talk.now = 33;
  talk.lose();
  talk.resume(3 * SAMPLE_RATE);
  talk.say({ type: "status", code: "ready", message: "Ready to transcribe", gpu_id: 0 });
  assert.equal(talk.session.onDeadline(talk.now + 149), null);
  assert.equal(talk.session.onDeadline(talk.now + 150), "leave");
  assert.equal(talk.lose(1006).timedOut, "finishing");
});

test("the first attempt comes at once, later ones less and less often, and at random times", () => {
  const delays = (random) => {
    const backoff = new Backoff();
    return Array.from({ length: 6 }, () => backoff.next(0, random));
  };
  assert.deepEqual(delays(1).map((each) => Math.round(10 * each)), [3, 6, 12, 24, 48, 50]);
  assert.deepEqual(delays(0).map((each) => Math.round(100 * each)), [15, 30, 60, 120, 240, 250]);
  assert.equal(new Backoff().next(0, 1, 61), null);
  const backoff = new Backoff();
  backoff.next(0, 0);
  assert.equal(backoff.next(60, 0), null);
  backoff.reset();
  assert.equal(backoff.next(100, 1), 100.3);
});

/** Resume a talk from a checkpoint that went through JSON; more is recorded before the server answers. */
function restorePage(talk, maxS = 40) {
  const { pcm, ...checkpoint } = talk.session.checkpoint(maxS * SAMPLE_RATE);
  const later = new Talk();
  later.session = new Session(talk.now, { ...JSON.parse(JSON.stringify(checkpoint)), pcm });
  made.push(later.session);
  later.now = talk.now;
  later.seq = talk.seq;
  later.got = [...talk.got];
  return later;
}

/** The server's first word to a later page. */
function greet(talk, received, resumed = true) {
  talk.session.onOpen();
  talk.got.length = received;
  talk.say({ type: "config", resume_token: "r1", session: "s", resumed, received });
  talk.pump();
}

test("a later page goes on with the session: token, place, and the audio that had not arrived", () => {
  const talk = new Talk();
  talk.record(10);
  talk.final(1, 0, 6.25);
  const later = restorePage(talk);
  assert.deepEqual([later.session.config.resume_token, later.session.lastSeq], ["r1", 3]);
  assert.equal(later.session.capturedS, 10);
  assert.deepEqual(later.session.takeMessages(0, 10), []); // not before the server has said where to go on
  later.record(11);
  greet(later, 9.5 * SAMPLE_RATE);
  assertGapless(later, 0, 11 * SAMPLE_RATE);
  assert.deepEqual(later.session.restoration, { isKnown: true, missingS: 0 });
  assert.equal(later.say({ type: "final", segment: 2, text: "", start: 7, end: 8 }).part, 0);
  assert.equal(later.session.pendingS, 3);
});

test("a later page of a server that forgot sends all that is not final; its times are moved to ours", () => {
  const talk = new Talk();
  talk.record(10);
  talk.final(1, 0, 6.25);
  const later = restorePage(talk);
  later.got = [];
  greet(later, 0, false);
  later.record(11);
  assertGapless(later, 6.25 * SAMPLE_RATE, 11 * SAMPLE_RATE);
  assert.deepEqual(later.session.restoration, { isKnown: false, missingS: 0 });
  const moved = later.say({ type: "partial", segment: 1, committed: "", tail: "So", start: 0, end: 1 });
  assert.deepEqual([moved.part, moved.start], [1, 6.25]);
});

test("where there is no room for all, the audio is kept that the server does not have", () => {
  const talk = new Talk();
  talk.record(10);
  talk.say({ type: "ack", received: 9 * SAMPLE_RATE, committed_until: 0 });
  assert.equal(talk.session.checkpoint(10 * SAMPLE_RATE).start, 0);
  const later = restorePage(talk, 9);
  assert.equal(later.session.checkpoint(5 * SAMPLE_RATE).start, 9 * SAMPLE_RATE);
  greet(later, 9.25 * SAMPLE_RATE);
  assertGapless(later, 0, 10 * SAMPLE_RATE);
  assert.equal(later.session.restoration.missingS, 0);
});

test("audio that neither the page nor the server has is told by its length", () => {
  const talk = new Talk();
  talk.record(10);
  talk.say({ type: "ack", received: 4 * SAMPLE_RATE, committed_until: 0 });
  const known = restorePage(talk, 2);
  greet(known, 5 * SAMPLE_RATE);
  assert.deepEqual(known.session.restoration, { isKnown: true, missingS: 4 }); // it has 0 to 5 s, the page 4 to 6 s
  const forgotten = restorePage(talk, 2);
  greet(forgotten, 0, false);
  assert.deepEqual(forgotten.session.restoration, { isKnown: false, missingS: 8 });
});

test("a page that was cut off after it had kept goes on behind what the server has got since", () => {
  const talk = new Talk();
  talk.record(10);
  const later = restorePage(talk);
  talk.record(13); // the old page went on for a while
  later.got = [...talk.got];
  later.session.capture(counting(13 * SAMPLE_RATE, 15 * SAMPLE_RATE)); // the new one has begun to record
  greet(later, 13 * SAMPLE_RATE);
  later.now = 15;
  assertGapless(later, 0, 15 * SAMPLE_RATE);
  assert.equal(later.session.capturedS, 15);
  assert.equal(later.session.restoration.missingS, 0);
});

test("a recording that had been ended is brought to its end by the later page", () => {
  const talk = new Talk();
  talk.record(3);
  talk.session.finish(3);
  const later = restorePage(talk);
  greet(later, 2 * SAMPLE_RATE);
  assertGapless(later, 0, 3 * SAMPLE_RATE);
  assert.equal(later.ends, 1);
  later.say({ type: "ready_to_stop", audio: {} });
  assert.equal(later.session.checkpoint(0), null);
  assert.equal(later.lose(1000).kind, "finished");
});

test("a later page waits for a slot as the earlier one would have, and ends when it is refused entrance", () => {
  const later = restorePage(new Talk());
  later.session.onOpen();
  later.say({ type: "error", error: "No GPU resources available", code: "no_capacity", retry_after_s: 1 });
  assert.equal(later.lose(1013), null);
  assert.equal(later.session.link, "queued");
  const stranger = restorePage(new Talk());
  stranger.session.onOpen();
  assert.equal(stranger.lose(4401).kind, "unauthorised");
});

test("audio survives as text", () => {
  for (const length of [0, 1, 100_000]) {
    assert.deepEqual(fromBase64(toBase64(counting(0, length))), counting(0, length));
  }
  const part = counting(0, 10).subarray(3, 5);
  assert.deepEqual([...fromBase64(toBase64(part))], [3, 4]);
});
