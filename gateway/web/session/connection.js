/** Shell: a session's WebSockets, one after another, with its clock, timers and randomness. */

import { Session } from "./session.js";

const SEND_AGAIN_MS = 100; // while audio waits for the socket; otherwise each block of audio sends
const SUBPROTOCOL = "whisperlive";
const CLOSE_GRACE_MS = 3_000;
const NORMAL_CLOSURE = 1000;
const ABNORMAL_CLOSURE = 1006;
const RESUMABLE = 4000; // a server that still receives it must keep the session, which 1000 would end

function seconds() {
  return performance.now() / 1_000;
}

function openSocket(url, protocols) {
  return new WebSocket(url, protocols);
}

/** Return the address of `/asr` under the page's own path prefix. */
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

/** Return the address for a further socket: the server continues after the last message that has arrived. */
export function resumeUrl(url, { config, lastSeq }) {
  const resumed = new URL(url);
  if (typeof config?.resume_token === "string") {
    resumed.searchParams.set("resume", config.resume_token);
    resumed.searchParams.set("last_seq", String(lastSeq ?? 0));
  }
  return resumed.href;
}

/** Return the subprotocols that carry a token: a browser cannot set headers, and addresses end up in logs. */
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
  #closeTimer = null;

  /**
   * @param {{url: string, protocols: string[], onMessage: (message: object) => void,
   *   onLink: (link: "up" | "down" | "queued" | "gave-up") => void, onEnd: (end: object) => void,
   *   checkpoint?: object | null, createSocket?: (url: string, protocols: string[]) => WebSocket}} options onLink is
   *   called on changes, onEnd once; checkpoint: of an earlier page's session, to resume it
   */
  constructor({ url, protocols, onMessage, onLink, onEnd, checkpoint = null, createSocket = openSocket }) {
    this.#session = new Session(seconds(), checkpoint);
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
    this.#send();
  }

  finish() {
    this.#session.finish(seconds());
    this.#send();
    this.#notifyLink();
  }

  /** Reconnect now, if the connection is lost. */
  retry() {
    this.#session.retry(seconds());
    this.#notifyLink();
    this.#schedule();
  }

  /** Close the socket without ending the session, so that a later page can resume it. */
  detach() {
    clearTimeout(this.#timer);
    clearTimeout(this.#closeTimer);
    if (this.#socket !== null) {
      Object.assign(this.#socket, { onopen: null, onmessage: null, onclose: null });
      this.#socket.close(this.#session.state === "done" ? NORMAL_CLOSURE : RESUMABLE);
    }
  }

  #connect() {
    const socket = this.#createSocket(resumeUrl(this.#url, this.#session));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#onOpen();
    socket.onmessage = ({ data }) => this.#onData(data);
    socket.onclose = ({ code }) => this.#onClose(code);
    this.#socket = socket;
  }

  #onOpen() {
    this.#session.onOpen();
    this.#send();
  }

  #onData(data) {
    const message = typeof data === "string" ? this.#session.onMessage(data, seconds()) : null;
    if (message === null) {
      return;
    }
    this.#onMessage(message);
    this.#notifyLink();
    if (message.type === "ready_to_stop") {
      this.#socket.close(NORMAL_CLOSURE);
      // The server may not answer the close.
      this.#closeTimer ??= setTimeout(() => this.#onClose(NORMAL_CLOSURE), CLOSE_GRACE_MS);
    }
    this.#send();
  }

  #send() {
    for (const message of this.#session.takeMessages(this.#socket?.bufferedAmount ?? 0, seconds())) {
      this.#socket.send(message);
    }
    this.#schedule();
  }

  /** Set the timer: soon while audio waits for the socket, else at the session's deadline. */
  #schedule() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const waiting = this.#session.unsentS > 0 && this.#session.canSend;
    const deadline_ms = (this.#session.deadline - seconds()) * 1_000;
    const delay_ms = waiting ? Math.min(SEND_AGAIN_MS, deadline_ms) : deadline_ms;
    if (delay_ms < Infinity) {
      this.#timer = setTimeout(() => this.#onTimer(), Math.max(0, delay_ms));
    }
  }

  #onTimer() {
    const due = this.#session.onDeadline(seconds());
    if (due === "connect") {
      this.#connect();
      this.#schedule();
    } else if (due === null) {
      this.#send();
    } else {
      this.#socket.close(due === "leave" ? NORMAL_CLOSURE : RESUMABLE);
      this.#onClose(ABNORMAL_CLOSURE);
    }
  }

  #onClose(code) {
    Object.assign(this.#socket, { onopen: null, onmessage: null, onclose: null });
    this.#socket = null;
    clearTimeout(this.#closeTimer);
    const end = this.#session.onClose(code, seconds(), Math.random());
    this.#notifyLink();
    this.#schedule();
    if (end !== null) {
      this.#onEnd(end);
    }
  }

  #notifyLink() {
    const { link } = this.#session;
    if (link !== this.#link) {
      this.#link = link;
      this.#onLink(link);
    }
  }
}
