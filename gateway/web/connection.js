/** Shell: a session's WebSocket and its clock. */

import { Session } from "./session.js";

const PUMP_MS = 100; // only while audio waits for the socket; otherwise each block of audio pumps
const SUBPROTOCOL = "whisperlive";
const CLOSE_GRACE_MS = 3_000;

function seconds() {
  return performance.now() / 1_000;
}

/** The socket's address beside the page, wherever the page is. */
export function socketUrl(pageUrl, { language, task }) {
  const url = new URL("asr", pageUrl);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({
    mode: "events",
    ...(language ? { language } : {}),
    ...(task ? { task } : {}),
  }).toString();
  url.hash = "";
  return url.href;
}

/** The subprotocols that carry a token: a browser cannot set headers, and an address ends up in logs. */
export function subprotocols(token) {
  if (!token) {
    return [];
  }
  const bytes = new TextEncoder().encode(token);
  const base64 = btoa(String.fromCharCode(...bytes));
  return [SUBPROTOCOL, `token.${base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`];
}

export class Connection {
  #session = new Session(seconds());
  #socket;
  #onMessage;
  #onEnd;
  #timer = null;
  #closing = null;

  /**
   * @param {{url: string, protocols: string[], onMessage: (message: object) => void, onEnd: (end: object) => void,
   *   createSocket?: (url: string, protocols: string[]) => WebSocket}} options onEnd is called once, at last
   */
  constructor({ url, protocols, onMessage, onEnd, createSocket = (...args) => new WebSocket(...args) }) {
    this.#onMessage = onMessage;
    this.#onEnd = onEnd;
    this.#socket = createSocket(url, protocols);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#opened();
    this.#socket.onmessage = ({ data }) => this.#received(data);
    this.#socket.onclose = ({ code }) => this.#closed(code);
    this.#schedule();
  }

  get session() {
    return this.#session;
  }

  /** @param {Int16Array} pcm */
  send(pcm) {
    this.#session.capture(pcm);
    this.#pump();
  }

  finish() {
    this.#session.finish();
    this.#pump();
  }

  /** Close the socket; a peer that does not answer is not waited for. */
  close() {
    this.#socket.close(1000);
    this.#closing ??= setTimeout(() => this.#closed(1006), CLOSE_GRACE_MS);
  }

  #opened() {
    this.#session.opened();
    this.#pump();
  }

  #received(data) {
    const message = typeof data === "string" ? this.#session.received(data, seconds()) : null;
    if (message === null) {
      return;
    }
    this.#onMessage(message);
    if (message.type === "ready_to_stop") {
      this.close();
    }
    this.#schedule();
  }

  #pump() {
    for (const message of this.#session.take(this.#socket.bufferedAmount, seconds())) {
      this.#socket.send(message);
    }
    this.#schedule();
  }

  /** Look again soon while audio waits, else when the session's patience ends. */
  #schedule() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const waiting = this.#session.unsentS > 0 && this.#session.isSending;
    const patience_ms = (this.#session.deadline - seconds()) * 1_000;
    const delay_ms = waiting ? PUMP_MS : patience_ms;
    if (delay_ms < Infinity) {
      this.#timer = setTimeout(() => this.#wake(), Math.max(0, delay_ms));
    }
  }

  #wake() {
    if (this.#session.expire(seconds())) {
      this.close();
    } else {
      this.#pump();
    }
  }

  #closed(code) {
    if (this.#session.state === "ended") {
      return;
    }
    clearTimeout(this.#timer);
    clearTimeout(this.#closing);
    this.#onEnd(this.#session.closed(code));
  }
}
