/**
 * Shell, on the audio thread: collects the microphone's 128-frame quanta into blocks and posts them.
 *
 * It answers "stop" with the last, shorter block and then null, so that the page knows it has everything.
 */

const BLOCK_FRAMES = 2_048; // 43 ms at 48 kHz: smooth for the level meter, and 23 messages a second

class Recorder extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK_FRAMES);
  #filled = 0;
  #running = true;

  constructor() {
    super();
    this.port.onmessage = () => this.#stop();
  }

  /** @param {Float32Array[][]} inputs one input, mixed down to one channel; without a channel while unconnected */
  process([[channel]]) {
    if (channel !== undefined && this.#running) {
      this.#collect(channel);
    }
    return this.#running;
  }

  #collect(channel) {
    let taken = 0;
    while (taken < channel.length) {
      const part = channel.subarray(taken, taken + BLOCK_FRAMES - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === BLOCK_FRAMES) {
        this.#post();
      }
    }
  }

  #post() {
    const block = this.#block.slice(0, this.#filled);
    this.port.postMessage(block, [block.buffer]);
    this.#filled = 0;
  }

  #stop() {
    this.#running = false;
    this.#post();
    this.port.postMessage(null);
  }
}

registerProcessor("recorder", Recorder);
