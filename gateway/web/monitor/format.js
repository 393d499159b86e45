/** Core: figures and the server's words as text. */

/** Format a duration: 0:42, 3:12, 1:04:09, 2 d 3 h. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours >= 24) {
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  }
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** @returns {[string, string]} the value and its unit */
export function lagText(seconds) {
  return [seconds < 10 ? seconds.toFixed(1) : String(Math.round(seconds)), "\u202fs"];
}

/** @returns {[string, string]} the value and its unit */
export function setupText(milliseconds) {
  if (milliseconds < 1_000) {
    return [String(Math.round(milliseconds)), "\u202fms"];
  }
  const seconds = milliseconds / 1_000;
  return [seconds < 10 ? seconds.toFixed(1) : String(Math.round(seconds)), "\u202fs"];
}

export function round(value) {
  return String(Math.round(value));
}

export function gigabytes(value) {
  return value < 1 ? value.toFixed(2) : value < 10 ? value.toFixed(1) : String(Math.round(value));
}

/** Return the smallest round figure that is not below the value. */
export function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999_999);
}

/** Return an identifier of the server as plain words. */
export function plainWords(word) {
  return word.replaceAll("_", " ");
}
