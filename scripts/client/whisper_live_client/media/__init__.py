"""Any audio that PyAV reads, or a microphone, as s16le 16 kHz mono (needs the extra ``files``)."""

from .source import Media, MediaError, Track, open_file, open_microphone, open_stream, read_raw

__all__ = ["Media", "MediaError", "Track", "open_file", "open_microphone", "open_stream", "read_raw"]
