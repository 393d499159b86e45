"""Encoded audio, told from raw PCM by its first bytes."""

LONGEST = 36
"""Bytes from which every format below can be told."""

_SIGNATURES = (
    (0, b"\x1aE\xdf\xa3", "WebM or Matroska"),
    (0, b"OggS", "Ogg (Opus, Vorbis)"),
    (0, b"fLaC", "FLAC"),
    (0, b"ID3\x02", "MP3"),
    (0, b"ID3\x03", "MP3"),
    (0, b"ID3\x04", "MP3"),
    (4, b"ftyp", "MP4 (m4a, 3gp)"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b".snd\x00\x00", "AU"),
    (0, b"caff\x00\x01", "CAF"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "ASF (WMA)"),
    (0, b"#!AMR", "AMR"),
    (0, b"RF64", "WAV (RF64)"),
    (0, b"riff.\x91\xcf\x11", "WAV (W64)"),
)


class ContainerDetector:
    """Looks at the first bytes of a session, however they are cut into messages."""

    def __init__(self) -> None:
        self._head = b""

    def look(self, data: bytes) -> str | None:
        """Return the name of the format that the audio begins with; None if it may be PCM, or a WAV file of it."""
        if len(self._head) >= LONGEST:
            return None
        self._head += data[: LONGEST - len(self._head)]
        head = self._head
        for at, signature, name in _SIGNATURES:
            if head[at : at + len(signature)] == signature:
                return name
        if head[:4] == b"RIFF" and head[8:16] == b"WAVEfmt " and len(head) == LONGEST:
            return _other_wave(head)
        return None


def _other_wave(head: bytes) -> str | None:
    """Return what is wrong with a WAV file's format, if anything."""
    kind, channels, rate_hz, bits = (
        int.from_bytes(head[a:b], "little") for a, b in ((20, 22), (22, 24), (24, 28), (34, 36))
    )
    if (channels, rate_hz, bits) == (1, 16_000, 16) and kind in (1, 0xFFFE):
        return None
    return f"WAV with {channels} channels of {bits} bits at {rate_hz} Hz (format {kind})"
