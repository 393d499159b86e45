/**
 * Core: one conversation with `/asr?mode=events`, without its socket and without a clock.
 *
 * connecting ──opened──▶ open ──finish──▶ finishing ──ready_to_stop──▶ done
 *      └───────────────────┴─────────────────┴──────── closed ───────▶ ended
 */

import { Outbox, SAMPLE_RATE } from "./outbox.js";

// One socket buffers at most this much before we keep the audio ourselves: two seconds.
const HIGH_WATER_BYTES = 2 * SAMPLE_RATE * 2;
const MAX_UNSENT_SAMPLES = 5 * 60 * SAMPLE_RATE;
const MAX_KEPT_SAMPLES = 5 * 60 * SAMPLE_RATE;
const CONNECT_TIMEOUT_S = 15;
// Longer than the server waits for its own last words, by default: it has more to say about a delay than we do.
const FINISH_TIMEOUT_S = 150;

const END_OF_AUDIO = new Int16Array(0);

export class Session {
  state = "connecting";
  config = null;
  lastSeq = null;
  error = null; // the server's last message, when that was an error: a close after it is its consequence
  endSent = false;
  books = null; // what became of the audio, from ready_to_stop
  #outbox = new Outbox({ maxUnsentSamples: MAX_UNSENT_SAMPLES, maxKeptSamples: MAX_KEPT_SAMPLES });
  #noMoreAudio = false;
  #deadline;
  #timedOut = null;

  constructor(now) {
    this.#deadline = now + CONNECT_TIMEOUT_S;
  }

  /** Audio that is recorded and not yet handed to the socket, in seconds. */
  get unsentS() {
    return this.#outbox.unsent / SAMPLE_RATE;
  }

  get capturedS() {
    return this.#outbox.captured / SAMPLE_RATE;
  }

  get isFull() {
    return this.#outbox.isFull;
  }

  /** Whether audio may go out now. */
  get isSending() {
    return this.state === "open" || this.state === "finishing";
  }

  opened() {
    this.state = this.#noMoreAudio ? "finishing" : "open";
    this.#deadline = Infinity;
  }

  /** @param {Int16Array} pcm */
  capture(pcm) {
    if (!this.#noMoreAudio) {
      this.#outbox.append(pcm);
    }
  }

  /** The recording is over: what is here still goes out, then the end of the audio. */
  finish() {
    this.#noMoreAudio = true;
    if (this.state === "open") {
      this.state = "finishing";
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
    }
    if (this.#noMoreAudio && this.#outbox.unsent === 0 && !this.endSent) {
      messages.push(END_OF_AUDIO);
      this.endSent = true;
      this.#deadline = now + FINISH_TIMEOUT_S;
    }
    return messages;
  }

  /**
   * Take a text message of the server.
   * @param {string} text
   * @param {number} now seconds
   * @returns {{type: string} | null} the message, or null when it is none of the protocol's
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
    if (message.type === "config") {
      this.config = message;
    } else if (message.type === "ack") {
      this.#outbox.acknowledge(message.committed_until);
    } else if (message.type === "ready_to_stop") {
      this.state = "done";
      this.books = message.audio ?? null;
      this.#deadline = Infinity;
    }
    return message;
  }

  /** When to ask `expire` next, in seconds; Infinity for never. */
  get deadline() {
    return this.#deadline;
  }

  /** Say whether the server has been waited for long enough; the socket is then to be closed. */
  expire(now) {
    if (now < this.#deadline || this.state === "ended") {
      return false;
    }
    this.#timedOut = this.state;
    return true;
  }

  /**
   * The socket is closed.
   * @param {number} code
   * @returns {{kind: string, code: number, error: object | null, timedOut: string | null}} how the session ended
   */
  closed(code) {
    const wasOpen = this.state !== "connecting";
    const kind = this.state === "done" && this.endSent ? "finished" : endKind(code, wasOpen, this.error);
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

const KINDS = {
  1009: "refused",
  1012: "restarting",
  1013: "busy",
  4400: "refused",
  4401: "unauthorised",
  4403: "forbidden",
  4408: "limit",
  4409: "replaced",
};

function endKind(code, wasOpen, error) {
  if (code === 1013 && error?.code === "overloaded") {
    return "failed";
  }
  return KINDS[code] ?? (wasOpen ? (error === null ? "lost" : "failed") : "unreachable");
}

function parse(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === "string" ? message : null;
  } catch (error) {
    if (error instanceof SyntaxError) {
      return null;
    }
    throw error;
  }
}
