"""Read a pipe once as it comes, or again from its beginning."""

import io
import tempfile
from typing import BinaryIO

_IN_MEMORY_BYTES = 8 * 2**20


class Spool(io.RawIOBase):
    """A pipe that keeps what was read of it until `forget`, so that it can be read again as a file."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._kept: tempfile.SpooledTemporaryFile[bytes] | None = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            max_size=_IN_MEMORY_BYTES
        )

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        if self._kept is not None and piece:
            self._kept.write(piece)
        return piece or b""

    def has_index_last(self) -> bool:
        """Return True if what was read is MP4 or QuickTime whose index comes after its audio.

        Such a file is a row of boxes: four bytes of size, four of name (ISO/IEC 14496-12, 4.2).
        """
        kept = self._kept
        if kept is None:
            return False
        end, at = kept.tell(), 0
        try:
            while at < end:
                kept.seek(at)
                head = kept.read(16)
                name, size = head[4:8], int.from_bytes(head[:4])
                if name in (b"moov", b"mdat"):
                    return name == b"mdat"
                size = int.from_bytes(head[8:]) if size == 1 else size
                if size < 8:
                    return False
                at += size
            return False
        finally:
            kept.seek(end)

    def forget(self) -> None:
        """Keep nothing any more: the pipe is read as it comes."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def rewound(self) -> BinaryIO:
        """Return all of the pipe as a file that can be sought in; its end must have come, or comes now."""
        while self.read(2**16):
            pass
        kept, self._kept = self._kept, None
        if kept is None:
            raise ValueError("what was read is forgotten")
        kept.seek(0)
        return kept  # type: ignore[return-value]  # typeshed makes it an IO[bytes]
