/** Shell: a session's WebSockets, one after the other, its clock and its chance. */

import { Session } from "./session.js";

const PUMP_MS = 100; // only while audio waits for the socket; otherwise each block of audio pumps
const SUBPROTOCOL = "whisperlive";
const CLOSE_GRACE_MS = 3_000;
const LEFT = 1000;
const LOST = 1006;
const GIVEN_UP = 4000; // to a server that still hears us it must not sound like a goodbye

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

/** The same address for a further socket: the server goes on with the session after the last message we have seen. */
export function resumeUrl(url, { config, lastSeq }) {
  const resumed = new URL(url);
  if (typeof config?.resume_token === "string") {
    resumed.searchParams.set("resume", config.resume_token);
    resumed.searchParams.set("last_seq", String(lastSeq ?? 0));
  }
  return resumed.href;
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
  #session;
  #createSocket;
  #url;
  #socket = null;
  #onMessage;
  #onLink;
  #onEnd;
  #link;
  #timer = null;
  #closing = null;

  /**
   * @param {{url: string, protocols: string[], onMessage: (message: object) => void,
   *   onLink: (link: "up" | "down" | "stranded") => void, onEnd: (end: object) => void,
   *   kept?: object | null, createSocket?: (url: string, protocols: string[]) => WebSocket}} options onLink is told of
   *   changes; onEnd is called once, at last; kept: an earlier page's session, to go on with
   */
  constructor({ url, protocols, onMessage, onLink, onEnd, kept = null, createSocket = (...args) => new WebSocket(...args) }) {
    this.#session = new Session(seconds(), kept);
    this.#link = this.#session.link;
    this.#onMessage = onMessage;
    this.#onLink = onLink;
    this.#onEnd = onEnd;
    this.#url = url;
    this.#createSocket = (address) => createSocket(address, protocols);
    this.#connect();
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
    this.#session.finish(seconds());
    this.#pump();
    this.#tellLink();
  }

  /** Try again now, if the connection is lost. */
  retry() {
    this.#session.retry(seconds());
    this.#tellLink();
    this.#schedule();
  }

  /** The page goes away: a later one may go on with the session. Nothing more is heard or sent here. */
  leave() {
    clearTimeout(this.#timer);
    clearTimeout(this.#closing);
    if (this.#socket !== null) {
      Object.assign(this.#socket, { onopen: null, onmessage: null, onclose: null });
      this.#socket.close(this.#session.state === "done" ? LEFT : GIVEN_UP);
    }
  }

  #connect() {
    const socket = this.#createSocket(resumeUrl(this.#url, this.#session));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code }) => this.#closed(code);
    this.#socket = socket;
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
    this.#tellLink();
    if (message.type === "ready_to_stop") {
      this.#socket.close(LEFT);
      this.#closing ??= setTimeout(() => this.#closed(LEFT), CLOSE_GRACE_MS); // a peer that does not answer
    }
    this.#pump();
  }

  #pump() {
    for (const message of this.#session.take(this.#socket?.bufferedAmount ?? 0, seconds())) {
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
    const delay_ms = waiting ? Math.min(PUMP_MS, patience_ms) : patience_ms;
    if (delay_ms < Infinity) {
      this.#timer = setTimeout(() => this.#wake(), Math.max(0, delay_ms));
    }
  }

  #wake() {
    const due = this.#session.expire(seconds());
    if (due === "connect") {
      this.#connect();
      this.#schedule();
    } else if (due === null) {
      this.#pump();
    } else {
      this.#socket.close(due === "leave" ? LEFT : GIVEN_UP);
      this.#closed(LOST);
    }
  }

  /** The socket is closed, or counts as closed: nothing more is taken from it. */
  #closed(code) {
    Object.assign(this.#socket, { onopen: null, onmessage: null, onclose: null });
    this.#socket = null;
    clearTimeout(this.#closing);
    const end = this.#session.closed(code, seconds(), Math.random());
    this.#tellLink();
    this.#schedule();
    if (end !== null) {
      this.#onEnd(end);
    }
  }

  #tellLink() {
    const { link } = this.#session;
    if (link !== this.#link) {
      this.#link = link;
      this.#onLink(link);
    }
  }
}
