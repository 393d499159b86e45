/** Core: how the wall words figures, and the one way in which it touches text. */

/** A length of time, from seconds to days: 0:42, 3:12, 1:04:09, 2 d 3 h. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours >= 24) {
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  }
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Seconds of lag as a value and its unit. */
export function lagText(seconds) {
  return [seconds < 10 ? seconds.toFixed(1) : String(Math.round(seconds)), "\u202fs"];
}

/** Milliseconds of setup as a value and its unit. */
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

/** Gigabytes with as many digits as are of interest. */
export function gigabytes(value) {
  return value < 1 ? value.toFixed(2) : value < 10 ? value.toFixed(1) : String(Math.round(value));
}

/** The least round figure that is at least the value. */
export function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999_999);
}

/** A word of the server's, as one reads it. */
export function plainWords(word) {
  return word.replaceAll("_", " ");
}

/** Set a node's text, if it differs: what stays the same is not painted anew. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Append a new element. */
export function add(parent, tag, className = "") {
  const node = document.createElement(tag);
  if (className !== "") {
    node.className = className;
  }
  parent.append(node);
  return node;
}
