/** Shell: the microphone as 16 kHz s16 samples: getUserMedia → AudioContext → worklet → resampler. */

import { CaptureWatch, TICK_S } from "./capture-watch.js";
import { Resampler, toPcm16 } from "./resampler.js";

const CONSTRAINTS = {
  audio: {
    channelCount: 1,
    // Made for telephony: they remove word endings and soft speech that the model, trained on noisy audio, recognises.
    echoCancellation: false,
    noiseSuppression: false,
    // Helps with quiet microphones.
    autoGainControl: true,
  },
};
const START_TIMEOUT_MS = 1_000;
const FLUSH_TIMEOUT_MS = 1_000; // a suspended context does not answer
const SOUND_PEAK = 1e-4; // quieter than any room

/** Return true if the microphone can be opened without a prompt; false where the browser does not tell. */
export async function isMicrophoneAllowed() {
  try {
    const { state } = await navigator.permissions.query({ name: "microphone" });
    return state === "granted";
  } catch (error) {
    if (!(error instanceof TypeError)) {
      throw error; // a TypeError: no `permissions` on an insecure page, or this name is unknown
    }
    return false;
  }
}

/** Why the microphone cannot be opened: `name` is a DOMException's, "InsecureOrigin" or "RecorderNotLoaded". */
export class MicrophoneError extends Error {
  constructor(name, options) {
    super(name, options);
    this.name = name;
  }
}

/** A failed download is an AbortError, which from getUserMedia means that the microphone is in use. */
async function loadRecorder(context) {
  try {
    await context.audioWorklet.addModule(new URL("recorder-worklet.js", import.meta.url));
  } catch (error) {
    throw error instanceof DOMException ? new MicrophoneError("RecorderNotLoaded", { cause: error }) : error;
  }
}

export class Microphone {
  #context;
  #stream;
  #node;
  #resampler;
  #handlers;
  #watch = new CaptureWatch();
  #ticks;
  #flushed;
  #markFlushed;

  /**
   * Ask for the microphone and start recording. Without a click the browser may suspend the audio: see `isRunning`.
   * @param {{onSamples: (pcm: Int16Array) => void, onLevel: (peak: number, isSound: boolean) => void,
   *   onProblem: (problem: string | null) => void, onLost: () => void}} handlers onLevel: a block's peak, 0 to 1, and
   *   whether that is more than a muted device gives; onProblem: once a second, see capture-watch.js; onLost: the device
   *   was disconnected; `stop` still delivers what it recorded
   * @returns {Promise<Microphone>}
   */
  static async open(handlers) {
    if (!globalThis.isSecureContext || navigator.mediaDevices?.getUserMedia === undefined) {
      throw new MicrophoneError("InsecureOrigin");
    }
    let context = null;
    let stream = null;
    try {
      context = new AudioContext(); // before any await: Safari allows it only during the click
      stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
      await loadRecorder(context);
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
    this.#node.port.onmessage = ({ data }) => this.#onBlock(data);
    context.createMediaStreamSource(stream).connect(this.#node);
    // The output is silence, but some browsers run only nodes that are connected to the destination.
    this.#node.connect(context.destination);
    context.onstatechange = () => this.#onStateChange();
    this.#watchTrack(stream.getAudioTracks()[0]);
    this.#ticks = setInterval(() => this.#onTick(), TICK_S * 1_000);
    this.#onStateChange();
  }

  #watchTrack(track) {
    track.onended = () => this.#handlers.onLost();
    track.onmute = () => this.#watch.setMuted(true);
    track.onunmute = () => this.#watch.setMuted(false);
    this.#watch.setMuted(track.muted === true);
  }

  /** Stop recording; resolves when every recorded sample has been passed to onSamples. */
  async stop() {
    this.#context.onstatechange = null;
    clearInterval(this.#ticks);
    this.#node.port.postMessage("stop");
    const timer = setTimeout(this.#markFlushed, FLUSH_TIMEOUT_MS);
    await this.#flushed;
    clearTimeout(timer);
    this.#node.port.onmessage = null;
    this.#handlers.onSamples(toPcm16(this.#resampler.flush()));
    this.#stream.getTracks().forEach((track) => track.stop());
    await this.#context.close();
  }

  /** Return true if the browser lets the audio run, after waiting a moment for it. */
  async isRunning() {
    await Promise.race([this.resume(), new Promise((resolve) => setTimeout(resolve, START_TIMEOUT_MS))]);
    return this.#context.state === "running";
  }

  /** Resume after the system suspended the audio (a phone call, a sleeping laptop); it may refuse, and is asked again. */
  async resume() {
    if (this.#context.state === "running" || this.#context.state === "closed") {
      return;
    }
    try {
      await this.#context.resume();
    } catch (error) {
      if (!(error instanceof DOMException)) {
        throw error;
      }
    }
  }

  #onBlock(block) {
    if (block === null) {
      this.#markFlushed();
      return;
    }
    const peak = block.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    const isSound = peak >= SOUND_PEAK;
    this.#watch.onBlock(isSound);
    this.#handlers.onLevel(peak, isSound);
    this.#handlers.onSamples(toPcm16(this.#resampler.push(block)));
  }

  #onTick() {
    this.#watch.onTick();
    this.#handlers.onProblem(this.#watch.problem);
    this.resume();
  }

  #onStateChange() {
    this.#watch.setSuspended(this.#context.state !== "running");
    this.resume();
  }
}
