"""The command `whisper-live-transcribe`."""

import sys


def main() -> int:
    try:
        from .options import main as command  # noqa: PLC0415 - needs the extra "cli"
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing: pip install 'whisper-live-client[cli]'", file=sys.stderr)
        return 2
    return command()
