/**
 * Core: resamples any rate to 16 kHz, block by block.
 *
 * A windowed-sinc filter (Kaiser), evaluated only at the output's instants. Output n lies exactly at input time
 * n * rate / 16000, kept as a fraction of integers so that long recordings do not drift: N input samples give
 * ceil(N * 16000 / rate) output samples for any block sizes.
 */

export const OUTPUT_RATE = 16_000;

// Passes up to 7 kHz, stops from 8 kHz (lower for a slower input), so that nothing aliases.
const PASS_EDGE = 7 / 8;
const STOP_ATTENUATION_DB = 80;
const KAISER_BETA = 0.1102 * (STOP_ATTENUATION_DB - 8.7);

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** The modified Bessel function of the first kind and order zero, by its power series. */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-12; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

export class Resampler {
  #up; // output samples per #down input samples
  #down;
  #half; // reach of the filter on each side, in input samples
  #cutoff; // in cycles per input sample
  #kernels = new Map();
  #history; // input samples not yet behind every future output
  #first = 0; // index, in the whole input, of #history[0]; negative inside the leading silence
  #received = 0;
  #produced = 0;

  /** @param {number} inputRate in Hz, a whole number */
  constructor(inputRate) {
    if (!Number.isInteger(inputRate) || inputRate < 3_000 || inputRate > 768_000) {
      throw new RangeError(`Cannot resample from ${inputRate} Hz.`);
    }
    const divisor = greatestCommonDivisor(inputRate, OUTPUT_RATE);
    this.#up = OUTPUT_RATE / divisor;
    this.#down = inputRate / divisor;
    const nyquist = Math.min(inputRate, OUTPUT_RATE) / 2 / inputRate;
    const transition = nyquist * (1 - PASS_EDGE);
    this.#cutoff = nyquist * (1 + PASS_EDGE) / 2;
    // Kaiser's estimate of the length that reaches the attenuation over this transition.
    const taps = (STOP_ATTENUATION_DB - 8) / (2.285 * 2 * Math.PI * transition);
    this.#half = this.#up === this.#down ? 0 : Math.ceil(taps / 2);
    this.#history = new Float32Array(this.#half);
    this.#first = -this.#half;
  }

  /**
   * Return every output sample that the block completes.
   * @param {Float32Array} block
   * @returns {Float32Array}
   */
  push(block) {
    this.#append(block);
    this.#received += block.length;
    // Output n needs the input up to floor(n * down / up) + half.
    const reach = this.#received - this.#half;
    return this.#produceUntil(reach <= 0 ? 0 : this.#outputsBefore(reach));
  }

  /** Return the last samples, as if silence followed; the resampler cannot be used afterwards. */
  flush() {
    this.#append(new Float32Array(this.#half + 1));
    return this.#produceUntil(this.#outputsBefore(this.#received));
  }

  /** Return the number of outputs at input times below `inputs`. */
  #outputsBefore(inputs) {
    return Math.ceil((inputs * this.#up) / this.#down);
  }

  #append(block) {
    const joined = new Float32Array(this.#history.length + block.length);
    joined.set(this.#history);
    joined.set(block, this.#history.length);
    this.#history = joined;
  }

  #produceUntil(end) {
    const output = new Float32Array(Math.max(0, end - this.#produced));
    for (let i = 0; i < output.length; i += 1) {
      const position = this.#produced * this.#down;
      const phase = position % this.#up;
      const centre = (position - phase) / this.#up;
      output[i] = this.#dot(this.#kernel(phase), centre - this.#half - this.#first);
      this.#produced += 1;
    }
    this.#discard();
    return output;
  }

  #dot(kernel, offset) {
    const history = this.#history;
    let sum = 0;
    for (let k = 0; k < kernel.length; k += 1) {
      sum += kernel[k] * history[offset + k];
    }
    return sum;
  }

  /** Drop the input that lies before the next output's reach. */
  #discard() {
    const next = Math.floor((this.#produced * this.#down) / this.#up) - this.#half;
    const surplus = Math.min(next - this.#first, this.#history.length);
    if (surplus > 0) {
      this.#history = this.#history.slice(surplus);
      this.#first += surplus;
    }
  }

  /** Return the cached filter for outputs that lie phase/up after an input sample. */
  #kernel(phase) {
    let kernel = this.#kernels.get(phase);
    if (kernel === undefined) {
      kernel = this.#design(phase / this.#up);
      this.#kernels.set(phase, kernel);
    }
    return kernel;
  }

  #design(fraction) {
    if (this.#half === 0) {
      return new Float64Array([1]);
    }
    const kernel = new Float64Array(2 * this.#half + 1);
    const span = this.#half + 1;
    let total = 0;
    for (let k = 0; k < kernel.length; k += 1) {
      const distance = k - this.#half - fraction;
      const window = bessel(KAISER_BETA * Math.sqrt(Math.max(0, 1 - (distance / span) ** 2))) / bessel(KAISER_BETA);
      kernel[k] = sinc(2 * this.#cutoff * distance) * window;
      total += kernel[k];
    }
    // Every phase must pass a constant unchanged: different gains would be audible as images.
    return kernel.map((tap) => tap / total);
  }
}

/**
 * Round to signed 16-bit samples, clipping what is too loud.
 * @param {Float32Array} samples
 * @returns {Int16Array}
 */
export function toPcm16(samples) {
  return Int16Array.from(samples, (sample) => Math.max(-32_768, Math.min(32_767, Math.round(sample * 32_768))));
}
