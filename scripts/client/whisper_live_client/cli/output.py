"""Write the transcript so that no encoding and no full disk loses it."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path


def write_transcript(text: str, path: Path | None) -> bool:
    """Write the text to a file, or to standard output; where that fails, to the next place that takes it.

    Standard output is tried after the file, then a new file in the directory for temporary files, then standard error:
    the words cost time to get. Return True if the text is where it was asked for.
    """
    if path is not None:
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            kept = _write_stdout(text)
            where = "the transcript is on standard output" if kept is None else _rescue(text)
            print(f"{path}: {error.strerror}; {where}", file=sys.stderr)
            return False
        return True
    problem = _write_stdout(text)
    if problem is None or isinstance(problem, BrokenPipeError):  # the reader of a pipe wanted no more, like `head`
        return True
    print(f"standard output: {problem.strerror}; {_rescue(text)}", file=sys.stderr)
    return False


def flush_standard_streams() -> None:
    """Flush what can be flushed; a stream that has failed has been told about already."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def _write_stdout(text: str) -> OSError | None:
    try:
        _write_encoded(text)
        sys.stdout.flush()
    except OSError as error:
        _silence_stdout()
        return error
    return None


def _write_encoded(text: str) -> None:
    """Write in standard output's encoding; where that lacks a character as UTF-8, to a terminal with question marks."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        pass
    else:
        sys.stdout.write(text)
        return
    if sys.stdout.isatty():
        sys.stdout.write(text.encode(encoding, errors="replace").decode(encoding))
        print(
            f"this terminal's encoding, {encoding}, lacks characters of the transcript: --output FILE", file=sys.stderr
        )
        return
    sys.stdout.buffer.write(text.encode("utf-8"))
    print(f"written as UTF-8: the encoding {encoding} lacks characters of the transcript", file=sys.stderr)


def _silence_stdout() -> None:
    """Lead standard output nowhere, so that the interpreter does not fail once more on what is left in its buffer."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _rescue(text: str) -> str:
    """Keep the text in a temporary file, or else on standard error; return a sentence about where it is."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="transcript-", suffix=".txt", delete=False
        ) as file:
            file.write(text)
    except OSError:
        sys.stderr.write(text)
        return "the transcript is above"
    return f"the transcript is in {file.name}"
