/** Shell: how the monitor changes the document. */

/** Set a node's text if it differs, so that unchanged nodes are not repainted. */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/** Append a new element and return it. */
export function add(parent, tag, className = "") {
  const node = document.createElement(tag);
  if (className !== "") {
    node.className = className;
  }
  parent.append(node);
  return node;
}
