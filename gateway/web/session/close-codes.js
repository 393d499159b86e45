/** Core: what a socket's close code means. */

const KINDS = {
  1009: "refused",
  1012: "restarting",
  1013: "busy",
  4400: "refused",
  4401: "unauthorised",
  4403: "forbidden",
  4408: "limit",
  4409: "replaced",
};

/**
 * @param {number} code the socket's close code
 * @param {boolean} wasOpen
 * @param {{code?: string} | null} error the server's last message, if that was an error: the close is its consequence
 * @returns {string} "busy", "failed", "forbidden", "limit", "lost", "refused", "replaced", "restarting", "unauthorised"
 *   or "unreachable"
 */
export function endKind(code, wasOpen, error) {
  if (error?.code === "service_restart") {
    return "restarting"; // the server may be gone before it has closed the socket
  }
  if (code === 1013 && error?.code === "overloaded") {
    return "failed";
  }
  return KINDS[code] ?? (wasOpen ? (error === null ? "lost" : "failed") : "unreachable");
}
