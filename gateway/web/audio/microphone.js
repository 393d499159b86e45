/** Shell: the microphone as 16 kHz samples: getUserMedia → AudioContext → worklet → resampler → s16. */

import { Resampler, toPcm16 } from "./resampler.js";

const CONSTRAINTS = {
  audio: {
    channelCount: 1,
    // Made for telephones: they cut word endings and soft speech, which a recogniser trained on noisy audio hears well.
    echoCancellation: false,
    noiseSuppression: false,
    // A quiet microphone, on the other hand, is helped by being turned up.
    autoGainControl: true,
  },
};
const BEGIN_TIMEOUT_MS = 1_000;
const FLUSH_TIMEOUT_MS = 1_000; // a suspended context does not answer

/** Whether the microphone can be had without a question to the person; where the browser does not say, it cannot. */
export async function isMicrophoneAllowed() {
  try {
    const { state } = await navigator.permissions.query({ name: "microphone" });
    return state === "granted";
  } catch (error) {
    if (!(error instanceof TypeError)) {
      throw error; // else no permissions at all on an insecure page, or not this one
    }
    return false;
  }
}

/** Why the microphone cannot be had; `name` is one that strings.js knows. */
export class MicrophoneError extends Error {
  constructor(name, options) {
    super(name, options);
    this.name = name;
  }
}

export class Microphone {
  #context;
  #stream;
  #node;
  #resampler;
  #handlers;
  #flushed;
  #markFlushed;

  /**
   * Ask for the microphone and start recording. Without a click the browser may keep the audio suspended: `hasBegun`.
   * @param {{onSamples: (pcm: Int16Array) => void, onLevel: (peak: number) => void,
   *   onSuspended: (suspended: boolean) => void, onLost: () => void}} handlers onLevel: a block's peak, 0 to 1;
   *   onLost: the device went away; `stop` still returns what it gave
   * @returns {Promise<Microphone>}
   */
  static async open(handlers) {
    if (!globalThis.isSecureContext || navigator.mediaDevices?.getUserMedia === undefined) {
      throw new MicrophoneError("InsecureOrigin");
    }
    let context = null;
    let stream = null;
    try {
      context = new AudioContext(); // before any wait: Safari ties it to the click
      stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
      await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
      return new Microphone(context, stream, handlers);
    } catch (error) {
      stream?.getTracks().forEach((track) => track.stop());
      await context?.close();
      throw error instanceof DOMException ? new MicrophoneError(error.name, { cause: error }) : error;
    }
  }

  constructor(context, stream, handlers) {
    this.#context = context;
    this.#stream = stream;
    this.#handlers = handlers;
    this.#resampler = new Resampler(Math.round(context.sampleRate));
    this.#flushed = new Promise((resolve) => {
      this.#markFlushed = resolve;
    });
    this.#node = new AudioWorkletNode(context, "recorder", {
      channelCount: 1,
      channelCountMode: "explicit", // stereo microphones are mixed down
      outputChannelCount: [1],
    });
    this.#node.port.onmessage = ({ data }) => this.#received(data);
    context.createMediaStreamSource(stream).connect(this.#node);
    // Its output is silence, but some browsers run only what leads to the loudspeaker.
    this.#node.connect(context.destination);
    context.onstatechange = () => this.#stateChanged();
    stream.getAudioTracks()[0].onended = () => handlers.onLost();
    this.#stateChanged();
  }

  /** Stop recording; resolves when every recorded sample has been given to onSamples. */
  async stop() {
    this.#context.onstatechange = null;
    this.#node.port.postMessage("stop");
    const timer = setTimeout(this.#markFlushed, FLUSH_TIMEOUT_MS);
    await this.#flushed;
    clearTimeout(timer);
    this.#node.port.onmessage = null;
    this.#handlers.onSamples(toPcm16(this.#resampler.flush()));
    this.#stream.getTracks().forEach((track) => track.stop());
    await this.#context.close();
  }

  /** Say whether it records, after giving it a moment. */
  async hasBegun() {
    await Promise.race([this.resume(), new Promise((resolve) => setTimeout(resolve, BEGIN_TIMEOUT_MS))]);
    return this.#context.state === "running";
  }

  /** Try again after the system paused us (a call on a phone, a sleeping laptop). */
  async resume() {
    if (this.#context.state !== "running" && this.#context.state !== "closed") {
      await this.#context.resume();
    }
  }

  #received(block) {
    if (block === null) {
      this.#markFlushed();
      return;
    }
    const peak = block.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    this.#handlers.onLevel(peak);
    this.#handlers.onSamples(toPcm16(this.#resampler.push(block)));
  }

  #stateChanged() {
    const running = this.#context.state === "running";
    this.#handlers.onSuspended(!running);
    if (!running) {
      this.resume();
    }
  }
}
