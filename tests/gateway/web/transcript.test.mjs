// Run by test_web.py through `node --test`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Transcript, clock } from "../../../gateway/web/session/transcript.js";
import {
  restoredNotice,
  discardNotice,
  endNotice,
  endStatus,
  languageName,
  microphoneNotice,
  gaveUpNotice,
  unsentNotice,
  unsentStatus,
  waitingStatus,
} from "../../../gateway/web/page/strings.js";

function begun() {
  const transcript = new Transcript();
  transcript.beginRun(new Date(0));
  return transcript;
}

function partial(segment, committed, tail, start = 0, end = 1) {
  return { type: "partial", segment, committed, tail, start, end };
}

function final(segment, text, start = 0, end = 1, words = []) {
  return { type: "final", segment, text, start, end, words };
}

test("a segment grows, becomes final, and never changes afterwards", () => {
  const transcript = begun();
  transcript.apply(partial(0, "Hello", " wor"));
  assert.equal(transcript.text(), "Hello wor");
  transcript.apply(final(0, "Hello world."));
  assert.deepEqual(transcript.apply(partial(0, "No", "")), []);
  assert.equal(transcript.text(), "Hello world.");
});

test("each segment is a paragraph; one without words is none", () => {
  const transcript = begun();
  transcript.apply(final(0, "One."));
  transcript.apply(partial(1, "", ""));
  transcript.apply(partial(2, "", "Two"));
  assert.equal(transcript.text(), "One.\n\nTwo");
});

test("a second recording keeps the first, though segment numbers begin again", () => {
  const transcript = begun();
  transcript.apply(final(0, "One.", 0, 2));
  transcript.setDuration(5);
  transcript.beginRun(new Date(1));
  transcript.apply(final(0, "Two.", 1, 2));
  assert.equal(transcript.text(), "One.\n\nTwo.");
  assert.match(transcript.srt(), /00:00:06,000 --> 00:00:07,000\nTwo\./);
});

test("clearing hides what is finished and keeps the sentence being spoken", () => {
  const transcript = begun();
  transcript.apply(final(0, "Old."));
  transcript.apply(partial(1, "Being", " spoken"));
  transcript.clear();
  assert.equal(transcript.text(), "Being spoken");
  transcript.restore();
  assert.equal(transcript.text(), "Old.\n\nBeing spoken");
  transcript.clear();
  transcript.purge();
  transcript.restore();
  assert.equal(transcript.text(), "Being spoken");
});

test("a tail that no final took up was withdrawn when the recording is finished", () => {
  const transcript = begun();
  transcript.apply(final(1, "Said."));
  transcript.apply(partial(2, "", "Guessed"));
  assert.deepEqual(transcript.endRun({ finished: true }).map(({ key }) => key), ["0.2"]);
  assert.equal(transcript.text(), "Said.");
});

test("a server that begins anew replaces what was not final, with its first words and not before", () => {
  const transcript = begun();
  transcript.apply(final(1, "Said."));
  transcript.apply(partial(2, "Being", " spo"));
  const anew = (message) => ({ ...message, part: 1 });
  transcript.apply(anew(partial(1, "", "")));
  assert.equal(transcript.text(), "Said.\n\nBeing spo");
  const changed = transcript.apply(anew(partial(1, "", "Being spoken")));
  assert.deepEqual(changed.map(({ key }) => key), ["0.2", "1.1"]);
  assert.equal(transcript.text(), "Said.\n\nBeing spoken");
  transcript.apply(anew(final(1, "Being spoken now.")));
  transcript.apply(anew(final(2, "More.")));
  assert.equal(transcript.text(), "Said.\n\nBeing spoken now.\n\nMore.");
});

test("once the recording is over, clearing leaves nothing", () => {
  const transcript = begun();
  transcript.apply(partial(0, "Cut", " off"));
  transcript.endRun({ finished: false });
  assert.equal(transcript.text(), "Cut off");
  transcript.clear();
  assert.equal(transcript.isEmpty, true);
});

test("subtitles end with a sentence and are never longer than two lines", () => {
  const transcript = begun();
  const spoken = `One two three. ${"word ".repeat(40)}end.`.split(" ");
  const words = spoken.map((word, i) => ({ word: ` ${word}`, start: i * 0.3, end: (i + 1) * 0.3 }));
  transcript.apply(final(0, spoken.join(" "), 0, 13, words));
  const cues = transcript.srt().split("\n\n").map((cue) => cue.trim().split("\n"));
  assert.deepEqual(cues[0], ["1", "00:00:00,000 --> 00:00:00,900", "One two three."]);
  assert.ok(cues.length > 2);
  assert.ok(cues.every(([, , text]) => text.length <= 84));
  assert.equal(cues.map(([, , text]) => text).join(" "), spoken.join(" "));
});

test("a final without word times is one subtitle", () => {
  const transcript = begun();
  transcript.apply(final(0, "All of it.", 3_661.5, 3_662.25));
  assert.equal(transcript.srt(), "1\n01:01:01,500 --> 01:01:02,250\nAll of it.\n");
});

test("times read as a clock", () => {
  assert.deepEqual([0, 7.9, 754, 3_723].map(clock), ["0:00", "0:07", "12:34", "1:02:03"]);
});

test("a refusal says when to try again, in whole seconds", () => {
  const end = { kind: "busy", error: { error: "No GPU resources available", retry_after_s: 4.2 }, timedOut: null };
  const notice = endNotice(end, "");
  assert.equal(notice.title, "All transcription slots are busy.");
  assert.equal(notice.detail, "Please try again in 5 s.");
  assert.equal(notice.retryAfterS, 5);
});

test("a refused language is named as people call it, with the server's sentence", () => {
  const error = { error: "language 'fr' is not one of this model's: en" };
  const notice = endNotice({ kind: "refused", error, timedOut: null }, languageName("fr"));
  assert.equal(notice.title, "This server cannot transcribe French.");
  assert.match(notice.detail, /one of this model's: en\./);
});

test("every way to end has words, and only a good one has none", () => {
  const kinds = ["unreachable", "lost", "restarting", "replaced", "forbidden", "limit", "refused", "failed", "busy"];
  for (const kind of kinds) {
    assert.ok(endNotice({ kind, error: null, timedOut: null }, "").title.endsWith("."), kind);
  }
  assert.equal(endNotice({ kind: "finished", error: null, timedOut: null }, ""), null);
});

test("the end says how long it was, and what the server's accounting call dropped", () => {
  const finished = { kind: "finished" };
  assert.equal(endStatus(finished, { dropped: 0 }, 65), "Finished · 1:05 recorded");
  assert.equal(endStatus(finished, { dropped: 24_000 }, 65), "Finished · 1:05 recorded, of which 1.5 s could not be transcribed");
  assert.equal(endStatus({ kind: "lost" }, null, 65), "Stopped");
});

test("a missing microphone has words, an unknown reason too", () => {
  assert.match(microphoneNotice("NotAllowedError").title, /blocked/);
  assert.match(microphoneNotice("OverconstrainedError").title, /No microphone/);
  assert.match(microphoneNotice("WeirdError").detail, /WeirdError/);
});

test("a code that is no language tag is shown as it is", () => {
  assert.equal(languageName("de"), "German");
  assert.equal(languageName("not_a_tag"), "not_a_tag");
});

test("without a connection the page says what it waits for, and how much it keeps", () => {
  assert.match(waitingStatus("down"), /^Connection lost\. Reconnecting… your words are kept\.$/);
  assert.match(waitingStatus("queued"), /slots are busy.*your words are kept/);
  assert.match(gaveUpNotice({ lossKind: "lost" }).title, /could not be restored/);
  assert.match(gaveUpNotice({ lossKind: "busy" }).title, /busy/);
  assert.match(unsentNotice({ lossKind: "lost", pendingS: 12.2 }).detail, /The last 12 s of your recording are kept/);
  assert.match(unsentStatus({ pendingS: 0.2 }), /the last 1 s/);
  assert.match(unsentStatus({ pendingS: 95 }), /the last 1:35 min/);
});

test("a transcript is the same after it was saved and restored, and a new recording follows it", () => {
  const transcript = begun();
  transcript.apply(final(0, "One.", 0, 2));
  transcript.apply(partial(1, "Two", " and", 2, 3));
  transcript.setDuration(5);
  transcript.beginRun(new Date(9));
  const later = new Transcript();
  for (const run of JSON.parse(JSON.stringify(transcript.snapshot({ isRecording: false, withTimes: true })))) {
    later.restoreRun(run, { isOver: true });
  }
  assert.equal(later.text(), transcript.text());
  assert.equal(later.srt(), transcript.srt());
  assert.equal(later.runs.length, 1); // the empty one is none
  later.beginRun(new Date(10));
  later.apply(final(0, "New.", 1, 2));
  assert.equal(later.text(), "One.\n\nTwo and\n\nNew.");
  assert.match(later.srt(), /00:00:06,000 --> 00:00:07,000\nNew\./);
});

test("a run that goes on takes later messages, and is kept even while nothing is said", () => {
  const transcript = begun();
  assert.equal(transcript.snapshot({ isRecording: true, withTimes: true }).length, 1);
  transcript.apply(final(0, "One.", 0, 2));
  transcript.apply(partial(1, "Two", " and", 2, 3));
  const later = new Transcript();
  const [run] = JSON.parse(JSON.stringify(transcript.snapshot({ isRecording: true, withTimes: false })));
  assert.deepEqual(run.segments.map(({ words }) => words), [[], []]);
  later.restoreRun(run, { isOver: false });
  later.apply(final(1, "Two and three.", 2, 4));
  assert.equal(later.text(), "One.\n\nTwo and three.");
  later.clear();
  assert.equal(later.isEmpty, true);
});

test("settled text stays when a server says anew what it still hears", () => {
  const transcript = begun();
  transcript.apply(partial(0, "One", " two", 0, 2));
  transcript.finalizeOpen();
  transcript.apply({ ...partial(0, "Three", "", 5, 6), part: 1 });
  assert.equal(transcript.text(), "One two\n\nThree");
});

test("after a reload the page says what became of the recording, no more and no less", () => {
  const whole = restoredNotice({ isKnown: true, missingS: 0 }, 2.4);
  assert.deepEqual([whole.detail, whole.shownMs], ["What was said in the 2 s between was not recorded.", 10_000]);
  const gone = restoredNotice({ isKnown: false, missingS: 95 }, 2.4);
  assert.match(gone.detail, /The server had ended that session.* 1:35 min of audio could not be kept/);
  assert.equal(gone.shownMs, Infinity);
  assert.match(restoredNotice({ isKnown: true, missingS: 0 }, null).detail, /Everything that was said until then is here/);
  assert.doesNotMatch(restoredNotice({ isKnown: true, missingS: 3 }, null).detail, /Everything/);
});

test("what was cleared is not saved", () => {
  const transcript = begun();
  transcript.apply(final(0, "Secret."));
  transcript.clear();
  assert.deepEqual(transcript.snapshot({ isRecording: false, withTimes: true }), []);
});

test("what would be lost, or may have been, is told with its length", () => {
  assert.match(discardNotice({ pendingS: 12.2 }).detail, /Its last 12 s still wait/);
});
