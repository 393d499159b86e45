/**
 * Core: one session on `/asr?mode=events`, over one or more sockets one after another. It owns no socket and no clock.
 *
 * connecting ──onOpen──▶ open ──finish──▶ finishing ──ready_to_stop──▶ done ──onClose──▶ ended
 * open, finishing ──onClose──▶ waiting ──onDeadline──▶ connecting ──onOpen──▶ greeting ──config──▶ open, finishing
 * connecting again, greeting ──onClose──▶ waiting; when that has lasted too long: gave-up ──retry──▶ waiting
 *
 * A server that knows the session says how many samples it has, and is sent the rest. One that does not (it was
 * restarted, or the session expired) starts at zero: everything after the last final text is sent again, and its
 * times are translated to the recording's. A reloaded page starts from a checkpoint, at "connecting again". All
 * positions and times at this interface are the recording's.
 */

import { endKind } from "./close-codes.js";
import { Liveness } from "./liveness.js";
import { isAboutAudio, isReady, parse } from "./messages.js";
import { ReplayBuffer, SAMPLE_RATE } from "./replay-buffer.js";
import { Recovery } from "./recovery.js";
import { Timeline } from "./timeline.js";

// Two seconds: above this, audio waits here instead of in the socket, where it could not be taken back.
const HIGH_WATER_BYTES = 2 * SAMPLE_RATE * 2;
const MAX_UNSENT_SAMPLES = 5 * 60 * SAMPLE_RATE;
const MAX_KEPT_SAMPLES = 5 * 60 * SAMPLE_RATE;
const CONNECT_TIMEOUT_S = 15;
const RECONNECT_TIMEOUT_S = 8;
// Longer than the server's own limit (by default), so that its explanation of a delay arrives first.
const FINISH_TIMEOUT_S = 150;

const LIMITS = { maxUnsentSamples: MAX_UNSENT_SAMPLES, maxKeptSamples: MAX_KEPT_SAMPLES };

const END_OF_AUDIO = new Int16Array(0);

export class Session {
  state = "connecting";
  config = null; // the server's latest
  lastSeq = null;
  error = null; // the server's last message, if that was an error: a close after it is its consequence
  endSent = false;
  audioAccounting = null; // how many samples were transcribed or dropped, from ready_to_stop
  restoration = null; // for a session from a checkpoint: {isKnown, missingS}, once the server has answered
  #buffer;
  #recovery;
  #liveness = new Liveness();
  #timeline;
  #noMoreAudio = false;
  #checkpoint;
  #deadline;
  #timedOut = null;

  /**
   * @param {number} now seconds
   * @param {object | null} checkpoint of an earlier page's session, to resume it
   */
  constructor(now, checkpoint = null) {
    this.#checkpoint = checkpoint;
    this.#timeline = new Timeline(checkpoint?.place);
    this.#recovery = new Recovery({ hadSlot: checkpoint !== null });
    this.#buffer = checkpoint === null ? new ReplayBuffer(LIMITS) : ReplayBuffer.restore(checkpoint, LIMITS);
    this.#deadline = now + CONNECT_TIMEOUT_S;
    if (checkpoint !== null) {
      this.config = { resume_token: checkpoint.token, session: checkpoint.id }; // makes the first socket a reconnection
      this.lastSeq = checkpoint.lastSeq;
      this.#noMoreAudio = checkpoint.isOver;
      this.#deadline = now + RECONNECT_TIMEOUT_S;
    }
  }

  /**
   * Return what a later page needs to resume the session; null if it is over.
   * @param {number} maxSamples of audio
   */
  checkpoint(maxSamples) {
    if (this.state === "done" || this.state === "ended") {
      return null;
    }
    const { resume_token: token = null, session: id = null } = this.config ?? {};
    const { place } = this.#timeline;
    return { id, token, lastSeq: this.lastSeq ?? 0, isOver: this.#noMoreAudio, place, ...this.#buffer.checkpoint(maxSamples) };
  }

  /** Audio that is recorded and not yet handed to the socket, in seconds. */
  get unsentS() {
    return this.#buffer.unsent / SAMPLE_RATE;
  }

  get capturedS() {
    return this.#buffer.captured / SAMPLE_RATE;
  }

  /** Audio whose text is not final, in seconds. */
  get pendingS() {
    return this.#buffer.pending / SAMPLE_RATE;
  }

  get isFull() {
    return this.#buffer.isFull;
  }

  get canSend() {
    return this.state === "open" || this.state === "finishing";
  }

  /**
   * @returns {"up" | "down" | "queued" | "gave-up"} down: reconnecting; queued: waiting for a free slot;
   *   gave-up: either took too long, and only `retry` starts again
   */
  get link() {
    if (this.state === "gave-up") {
      return "gave-up";
    }
    if (this.state !== "waiting" && !this.#isReconnecting && (this.#recovery.hasSlot || !this.canSend)) {
      return "up";
    }
    return this.lossKind === "busy" ? "queued" : "down";
  }

  /** The kind of the last loss, see close-codes.js. */
  get lossKind() {
    return this.#recovery.lossKind;
  }

  get #isReconnecting() {
    return this.state === "greeting" || (this.state === "connecting" && this.config !== null);
  }

  /** Start sending; after a reconnection not before the server's config has said from where. */
  onOpen() {
    if (this.config === null) {
      this.#begin();
    } else {
      this.state = "greeting";
    }
  }

  /** @param {Int16Array} pcm */
  capture(pcm) {
    if (!this.#noMoreAudio) {
      this.#buffer.append(pcm);
    }
  }

  /** End the recording: send what is buffered, then the end of the audio. */
  finish(now) {
    this.#noMoreAudio = true;
    if (this.state === "open") {
      this.state = "finishing";
    } else if (this.state === "gave-up") {
      this.retry(now);
    }
  }

  /**
   * Return what the socket should send now.
   * @param {number} bufferedBytes what the socket has not sent yet
   * @param {number} now seconds
   * @returns {Int16Array[]} messages in order; an empty one ends the audio
   */
  takeMessages(bufferedBytes, now) {
    const messages = [];
    if (!this.canSend) {
      return messages;
    }
    let buffered = bufferedBytes;
    while (buffered < HIGH_WATER_BYTES) {
      const message = this.#buffer.takeMessage({ flush: this.#noMoreAudio });
      if (message === null) {
        break;
      }
      messages.push(message);
      buffered += message.byteLength;
      this.#liveness.onSent(message.length, now);
    }
    if (this.#noMoreAudio && this.#buffer.unsent === 0 && !this.endSent) {
      messages.push(END_OF_AUDIO);
      this.endSent = true;
      this.#deadline = now + FINISH_TIMEOUT_S;
      this.#liveness.onSent(Infinity, now);
    }
    return messages;
  }

  /**
   * Handle a text message of the server.
   * @param {string} text
   * @param {number} now seconds
   * @returns {{type: string} | null} the message in the recording's time; null if it is not one of the protocol
   */
  onMessage(text, now) {
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
    this.#recovery.onMessage(message, isAboutAudio(message));
    this.#liveness.onMessage(isAboutAudio(message) || (this.state === "open" && isReady(message)), now);
    return this.#dispatch(message);
  }

  #dispatch(message) {
    if (message.type === "config") {
      this.#onConfig(message);
    } else if (message.type === "ack") {
      this.#buffer.acknowledge(this.#timeline.position(message.received));
    } else if (message.type === "ready_to_stop") {
      this.state = "done";
      this.audioAccounting = message.audio ?? null;
      this.#deadline = Infinity;
    } else if (message.type === "partial" || message.type === "final") {
      const translated = this.#timeline.translate(message);
      if (translated.type === "final") {
        this.#buffer.settle(Math.round(translated.end * SAMPLE_RATE));
      }
      return translated;
    }
    return message;
  }

  #onConfig(config) {
    this.config = config;
    if (this.state === "greeting") {
      const isKnown = this.#timeline.reconnect(config, this.#buffer);
      this.#recovery.hasSlot = isKnown;
      this.#noteRestoration(isKnown);
      this.endSent = false;
      this.#begin();
    }
  }

  /** Work out how much of the earlier page's recording neither the checkpoint nor the server has. */
  #noteRestoration(isKnown) {
    if (this.#checkpoint === null) {
      return;
    }
    const { settled, start, pcm, recorded } = this.#checkpoint;
    this.#checkpoint = null;
    const notSaved = recorded - Math.max(start + pcm.length, isKnown ? this.#buffer.sent : 0);
    const missing = Math.max(0, notSaved) + (isKnown ? 0 : start - settled);
    this.restoration = { isKnown, missingS: missing / SAMPLE_RATE };
  }

  #begin() {
    this.state = this.#noMoreAudio ? "finishing" : "open";
    this.#deadline = Infinity;
  }

  /** When to call `onDeadline` next, in seconds; may be Infinity. */
  get deadline() {
    // A socket that looks dead is only dropped where there is a token to resume with.
    const canResume = this.canSend && this.config !== null;
    return Math.min(this.#deadline, canResume ? this.#liveness.deadline : Infinity);
  }

  /**
   * Return what is due: `connect` another socket; `drop` this one, which seems to be dead; `leave` a server that has
   * taken too long. After the latter two the caller reports the socket as closed.
   * @returns {"connect" | "drop" | "leave" | null}
   */
  onDeadline(now) {
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

  /** Reconnect now instead of at the next attempt's time; also after giving up. */
  retry(now) {
    if (this.state === "gave-up") {
      this.#recovery.reset();
      this.state = "waiting";
    }
    if (this.state === "waiting") {
      this.#deadline = now;
    }
  }

  /**
   * Decide what follows the end of the socket.
   * @param {number} code
   * @param {number} now seconds
   * @param {number} random 0 to 1, drawn for each call
   * @returns {{kind: string, code: number, error: object | null, timedOut: string | null} | null} how the session
   *   ended; null if it continues with another socket
   */
  onClose(code, now, random) {
    const wasOpen = this.state !== "connecting";
    const kind = this.state === "done" && this.endSent ? "finished" : endKind(code, wasOpen, this.error);
    if (this.config !== null && this.#timedOut === null && this.#recovery.canReconnect(kind)) {
      const due = this.#recovery.nextAttempt(kind, this.error, now, random);
      this.state = due === null ? "gave-up" : "waiting";
      this.#deadline = due ?? Infinity;
      this.error = null;
      return null;
    }
    this.state = "ended";
    this.#deadline = Infinity;
    return { kind, code, error: this.error, timedOut: this.#timedOut };
  }

  /** Throw if an invariant is broken; for tests. */
  check() {
    this.#buffer.check();
    if (this.endSent && this.#buffer.unsent !== 0) {
      throw new Error("the end of the audio was sent before the audio");
    }
  }
}
