/**
 * Core: one conversation with `/asr?mode=events`, over as many sockets as it takes, without any socket or clock.
 *
 * connecting ──opened──▶ open ──finish──▶ finishing ──ready_to_stop──▶ done ──closed──▶ ended
 * open, finishing ──closed──▶ waiting ──expire──▶ connecting ──opened──▶ greeting ──config──▶ open, finishing
 * connecting again, greeting ──closed──▶ waiting; when that has lasted too long: stranded ──retry──▶ waiting
 *
 * A server that knows the conversation says how many samples it has; the rest follows. One that has forgotten it (it
 * was restarted, or we were away too long) begins at zero: everything after the last final text is sent again, and
 * what it says is moved to where it belongs in our time. A page that was loaded anew begins with what the earlier one
 * kept, at "connecting again". All positions and times outside are the recording's.
 */

import { endKind } from "./close-codes.js";
import { Liveness } from "./liveness.js";
import { isAnswer, parse } from "./messages.js";
import { Outbox, SAMPLE_RATE } from "./replay-buffer.js";
import { Recovery } from "./recovery.js";
import { Timeline } from "./timeline.js";

// One socket buffers at most this much before we keep the audio ourselves: two seconds.
const HIGH_WATER_BYTES = 2 * SAMPLE_RATE * 2;
const MAX_UNSENT_SAMPLES = 5 * 60 * SAMPLE_RATE;
const MAX_KEPT_SAMPLES = 5 * 60 * SAMPLE_RATE;
const CONNECT_TIMEOUT_S = 15;
const RECONNECT_TIMEOUT_S = 8;
// Longer than the server waits for its own last words, by default: it has more to say about a delay than we do.
const FINISH_TIMEOUT_S = 150;

const BOUNDS = { maxUnsentSamples: MAX_UNSENT_SAMPLES, maxKeptSamples: MAX_KEPT_SAMPLES };

const END_OF_AUDIO = new Int16Array(0);

export class Session {
  state = "connecting";
  config = null; // the newest one
  lastSeq = null;
  error = null; // the server's last message, when that was an error: a close after it is its consequence
  endSent = false;
  books = null; // what became of the audio, from ready_to_stop
  comeback = null; // for a session of an earlier page: how the server received it, once that is known
  #outbox;
  #recovery;
  #liveness = new Liveness();
  #timeline;
  #noMoreAudio = false;
  #kept;
  #deadline;
  #timedOut = null;

  /**
   * @param {number} now seconds
   * @param {ReturnType<Session["kept"]>} kept what an earlier page left of a session, to go on with it
   */
  constructor(now, kept = null) {
    this.#kept = kept;
    this.#timeline = new Timeline(kept?.place);
    this.#recovery = new Recovery({ wasPlaced: kept !== null });
    this.#outbox = kept === null ? new Outbox(BOUNDS) : Outbox.revived(kept, BOUNDS);
    this.#deadline = now + CONNECT_TIMEOUT_S;
    if (kept !== null) {
      this.config = { resume_token: kept.token, session: kept.id }; // the next socket is a further one
      this.lastSeq = kept.lastSeq;
      this.#noMoreAudio = kept.isOver;
      this.#deadline = now + RECONNECT_TIMEOUT_S;
    }
  }

  /**
   * Return what a later page needs to go on; null when there is nothing to go on with.
   * @param {number} mostSamples of audio
   */
  kept(mostSamples) {
    if (this.state === "done" || this.state === "ended") {
      return null;
    }
    const { resume_token: token = null, session: id = null } = this.config ?? {};
    const { place } = this.#timeline;
    return { id, token, lastSeq: this.lastSeq ?? 0, isOver: this.#noMoreAudio, place, ...this.#outbox.kept(mostSamples) };
  }

  /** Audio that is recorded and not yet handed to the socket, in seconds. */
  get unsentS() {
    return this.#outbox.unsent / SAMPLE_RATE;
  }

  get capturedS() {
    return this.#outbox.captured / SAMPLE_RATE;
  }

  /** Audio whose text is not final, in seconds. */
  get pendingS() {
    return this.#outbox.pending / SAMPLE_RATE;
  }

  get isFull() {
    return this.#outbox.isFull;
  }

  /** Whether audio may go out now. */
  get isSending() {
    return this.state === "open" || this.state === "finishing";
  }

  /**
   * @returns {"up" | "down" | "queued" | "stranded"} down: another socket is being tried; queued: another slot;
   *   stranded: that took too long, and `retry` must be asked for
   */
  get link() {
    if (this.state === "stranded") {
      return "stranded";
    }
    if (this.state !== "waiting" && !this.#isReconnecting && (this.#recovery.isPlaced || !this.isSending)) {
      return "up";
    }
    return this.lostBy === "busy" ? "queued" : "down";
  }

  /** The kind of the last loss. */
  get lostBy() {
    return this.#recovery.lostBy;
  }

  get #isReconnecting() {
    return this.state === "greeting" || (this.state === "connecting" && this.config !== null);
  }

  /** The socket is open. A later one's first message says from where to go on. */
  opened() {
    if (this.config === null) {
      this.#begin();
    } else {
      this.state = "greeting";
    }
  }

  /** @param {Int16Array} pcm */
  capture(pcm) {
    if (!this.#noMoreAudio) {
      this.#outbox.append(pcm);
    }
  }

  /** The recording is over: what is here still goes out, then the end of the audio. */
  finish(now) {
    this.#noMoreAudio = true;
    if (this.state === "open") {
      this.state = "finishing";
    } else if (this.state === "stranded") {
      this.retry(now);
    }
  }

  /**
   * Return what the socket should send now, given what it still holds.
   * @param {number} bufferedBytes
   * @param {number} now seconds
   * @returns {Int16Array[]} messages in order; an empty one ends the audio
   */
  take(bufferedBytes, now) {
    const messages = [];
    if (!this.isSending) {
      return messages;
    }
    let buffered = bufferedBytes;
    while (buffered < HIGH_WATER_BYTES) {
      const message = this.#outbox.take({ rest: this.#noMoreAudio });
      if (message === null) {
        break;
      }
      messages.push(message);
      buffered += message.byteLength;
      this.#liveness.sent(message.length, now);
    }
    if (this.#noMoreAudio && this.#outbox.unsent === 0 && !this.endSent) {
      messages.push(END_OF_AUDIO);
      this.endSent = true;
      this.#deadline = now + FINISH_TIMEOUT_S;
      this.#liveness.sent(Infinity, now);
    }
    return messages;
  }

  /**
   * Take a text message of the server.
   * @param {string} text
   * @param {number} now seconds
   * @returns {{type: string} | null} the message in the recording's time, or null when it is none of the protocol's
   */
  received(text, now) {
    const message = parse(text);
    if (message === null) {
      return null;
    }
    if (Number.isInteger(message.seq)) {
      this.lastSeq = message.seq;
    }
    if (this.endSent && this.state === "finishing") {
      this.#deadline = now + FINISH_TIMEOUT_S;
    }
    this.error = message.type === "error" ? message : null;
    this.#recovery.heard(message, isAnswer(message));
    const isReady = this.state === "open" && message.type === "status" && /^Ready/.test(message.message);
    this.#liveness.heard(isAnswer(message) || isReady, now);
    return this.#take(message);
  }

  #take(message) {
    if (message.type === "config") {
      this.#greeted(message);
    } else if (message.type === "ack") {
      this.#outbox.acknowledge(this.#timeline.position(message.received));
    } else if (message.type === "ready_to_stop") {
      this.state = "done";
      this.books = message.audio ?? null;
      this.#deadline = Infinity;
    } else if (message.type === "partial" || message.type === "final") {
      const moved = this.#timeline.moved(message);
      if (moved.type === "final") {
        this.#outbox.settle(Math.round(moved.end * SAMPLE_RATE));
      }
      return moved;
    }
    return message;
  }

  #greeted(config) {
    this.config = config;
    if (this.state === "greeting") {
      const isKnown = this.#timeline.goOn(config, this.#outbox);
      this.#recovery.isPlaced = isKnown;
      this.#noteComeback(isKnown);
      this.endSent = false;
      this.#begin();
    }
  }

  /** Tell what of an earlier page's recording neither it nor the server has. */
  #noteComeback(isKnown) {
    if (this.#kept === null) {
      return;
    }
    const { settled, start, pcm, recorded } = this.#kept;
    this.#kept = null;
    const unkept = recorded - Math.max(start + pcm.length, isKnown ? this.#outbox.sent : 0);
    const missing = Math.max(0, unkept) + (isKnown ? 0 : start - settled);
    this.comeback = { isKnown, missingS: missing / SAMPLE_RATE };
  }

  #begin() {
    this.state = this.#noMoreAudio ? "finishing" : "open";
    this.#deadline = Infinity;
  }

  /** When to ask `expire` next, in seconds; Infinity for never. */
  get deadline() {
    const canGoOn = this.isSending && this.config !== null;
    return Math.min(this.#deadline, canGoOn ? this.#liveness.deadline : Infinity);
  }

  /**
   * Say what is due: `connect` another socket; `drop` this one, which seems to be dead; `leave` a server that has been
   * waited for long enough. After the latter two the socket counts as closed.
   * @returns {"connect" | "drop" | "leave" | null}
   */
  expire(now) {
    if (now < this.deadline || this.state === "ended") {
      return null;
    }
    if (this.state === "waiting") {
      this.state = "connecting";
      this.#deadline = now + RECONNECT_TIMEOUT_S;
      return "connect";
    }
    if (this.#isReconnecting || this.#deadline > now) {
      return "drop";
    }
    this.#timedOut = this.state;
    return "leave";
  }

  /** Try again now, if another socket is waited for: the network is back, or a person asks for it. */
  retry(now) {
    if (this.state === "stranded") {
      this.#recovery.again();
      this.state = "waiting";
    }
    if (this.state === "waiting") {
      this.#deadline = now;
    }
  }

  /**
   * The socket is closed.
   * @param {number} code
   * @param {number} now seconds
   * @param {number} chance 0 to 1, drawn anew each time
   * @returns {{kind: string, code: number, error: object | null, timedOut: string | null} | null} how the session
   *   ended; null when it goes on with another socket
   */
  closed(code, now, chance) {
    const wasOpen = this.state !== "connecting";
    const kind = this.state === "done" && this.endSent ? "finished" : endKind(code, wasOpen, this.error);
    if (this.config !== null && this.#timedOut === null && this.#recovery.canFollow(kind)) {
      const due = this.#recovery.lost(kind, this.error, now, chance);
      this.state = due === null ? "stranded" : "waiting";
      this.#deadline = due ?? Infinity;
      this.error = null;
      return null;
    }
    this.state = "ended";
    this.#deadline = Infinity;
    return { kind, code, error: this.error, timedOut: this.#timedOut };
  }

  check() {
    this.#outbox.check();
    if (this.endSent && this.#outbox.unsent !== 0) {
      throw new Error("the end of the audio was sent before the audio");
    }
  }
}
