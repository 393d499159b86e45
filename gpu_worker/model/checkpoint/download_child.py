"""Download an official model in a process of its own, so that its parent can end it.

Called as `python -P download_child.py URL FOLDER LIMIT_S`; ends with 1 and one line on stderr when it fails.
"""

import http.client
import shutil
import signal
import sys
import urllib.request
from pathlib import Path

_PIECE_BYTES = 8192
"""Small, so that a slow download still grows the file: the parent ends one that does not grow."""


def main(url: str, folder: Path, limit_s: int) -> None:
    """Write the size of `url`, if the server tells it, to `folder/size`, then download it into `folder`."""
    # An orphan must not go on downloading: its parent may be killed and take the deadline with it.
    signal.alarm(limit_s)
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - whisper's own table of https addresses
            (folder / "size").write_text(answer.headers.get("Content-Length", ""), encoding="ascii")
            with (folder / url.rsplit("/", 1)[-1]).open("wb") as file:
                shutil.copyfileobj(answer, file, _PIECE_BYTES)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        sys.exit(f"{type(error).__name__}: {reason}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
