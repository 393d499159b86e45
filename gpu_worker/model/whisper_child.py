"""Run whisper's own download in a process of its own, so that whoever waits for it can end it.

Called as `python -P whisper_child.py URL FOLDER LIMIT_S`; ends with 1 and one line on stderr when it fails.
"""

import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path


def main(url: str, folder: Path, limit_s: int) -> None:
    """Download `url` into `folder`, its size beforehand into `folder/size`."""
    # An orphan must not download for ever: its parent may be killed and take the deadline with it.
    signal.alarm(limit_s)
    try:
        (folder / "size").write_text(_size(url), encoding="ascii")
        # Only now: this import takes seconds, which a machine without the internet is spared.
        import whisper  # noqa: PLC0415

        whisper._download(url, str(folder), in_memory=False)  # noqa: SLF001 - whisper offers no other way
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or error
        sys.exit(f"{type(error).__name__}: {reason}")


def _size(url: str) -> str:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - whisper's own table of https addresses
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
            return str(answer.headers.get("Content-Length", ""))
    except urllib.error.HTTPError as error:
        if error.code in (403, 404):
            raise
        return ""  # a server that answers no HEAD may well answer a GET


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
