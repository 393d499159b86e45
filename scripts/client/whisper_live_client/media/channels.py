"""Mix the channels of a recording to one, unless they cancel each other out."""

import math
from array import array
from collections.abc import Iterator

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from whisper_live_client.audio import BYTES_PER_SAMPLE, SAMPLE_RATE

# Below this part of the loudest channel's energy the mix has lost what was said. Two channels that have nothing in
# common keep a half of it, one beside a silent one a quarter. FFmpeg gives each of more channels a smaller weight.
_LEAST_OF_TWO = 0.2
_LEAST_OF_MORE = 0.01
_STRIDE = 5  # energies are estimated from each fifth sample
_MEMORY_S = 1.0
_AUDIBLE = 30.0  # mean square of a sample: below about -75 dB nothing is worth a comparison


class Downmix:
    """Mixes frames of one format.

    Attributes:
        cancelled: True once channels have cancelled each other out, and the loudest one was taken in place of the mix.
    """

    def __init__(self, channels: int) -> None:
        self.cancelled = False
        self._least = _LEAST_OF_TWO if channels == 2 else _LEAST_OF_MORE
        self._resampler = AudioResampler(format="s16p", rate=SAMPLE_RATE)
        self._mixer = AudioResampler(format="s16p", layout="mono", rate=SAMPLE_RATE)
        self._energies = [0.0] * channels  # of each channel, in the last second or so
        self._mixed = 0.0

    def convert(self, frame: AudioFrame | None) -> Iterator[bytes]:
        """Yield the samples of a frame as s16le 16 kHz mono; None flushes what the resampler has kept."""
        for resampled in self._resampler.resample(frame):
            # A resampler that has nothing to convert answers a flush with None.
            if resampled is not None and resampled.samples:
                yield self._mix(resampled)

    def _mix(self, frame: AudioFrame) -> bytes:
        channels = [_samples(frame, number) for number in range(len(frame.planes))]
        if len(channels) == 1:
            return channels[0]
        mixed = b"".join(_samples(part, 0) for part in self._mixer.resample(frame) if part is not None)
        decay = math.exp(-frame.samples / (_MEMORY_S * SAMPLE_RATE))
        self._mixed = self._mixed * decay + _energy(mixed)
        self._energies = [
            before * decay + _energy(channel) for before, channel in zip(self._energies, channels, strict=True)
        ]
        loudest = max(range(len(channels)), key=self._energies.__getitem__)
        heard = _AUDIBLE * frame.samples / _STRIDE
        if self._energies[loudest] < heard or self._mixed >= self._least * self._energies[loudest]:
            return mixed
        self.cancelled = True
        return channels[loudest]


def _samples(frame: AudioFrame, plane: int) -> bytes:
    return bytes(frame.planes[plane])[: frame.samples * BYTES_PER_SAMPLE]  # planes are padded past the samples


def _energy(pcm: bytes) -> float:
    return float(sum(sample * sample for sample in array("h", pcm)[::_STRIDE]))
