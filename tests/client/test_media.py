"""media: any container becomes s16le 16 kHz mono, with every sample."""

import array
import io
import math

import av
import pytest
from whisper_live_client.audio import regroup
from whisper_live_client.media import MediaError, open_file, open_microphone, open_stream, read_raw

from tests.scripts.scripted_server import encode, tone


def decoded(path):
    with open_file(str(path)) as media:
        return b"".join(media.pieces())


def correlation(pcm, reference):
    """Compare two tones at the best of a few offsets; 1.0 is the same shape."""
    ours, theirs = array.array("h", pcm)[2000:6000], array.array("h", reference)
    best = 0.0
    for shift in range(54):  # one period of 300 Hz at 16 kHz
        other = theirs[2000 + shift : 6000 + shift]
        norm = math.sqrt(sum(a * a for a in ours) * sum(b * b for b in other))
        best = max(best, sum(a * b for a, b in zip(ours, other, strict=True)) / norm)
    return best


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout", "slack"),
    [
        # Lossless: exact but for the rounding of the last sample.
        ("same.wav", "pcm_s16le", 16_000, "mono", 0),
        ("cd.wav", "pcm_s16le", 44_100, "stereo", 1),
        ("narrow.wav", "pcm_s16le", 8_000, "mono", 1),
        ("wide.flac", "flac", 96_000, "stereo", 1),
        ("five.wav", "pcm_s16le", 48_000, "5.1", 1),
        # Lossy: what an encoder pads is at most a frame or two of its own.
        ("music.mp3", "libmp3lame", 44_100, "stereo", 2 * 1152 * 16_000 // 44_100),
        ("voice.ogg", "libopus", 48_000, "mono", 960 * 16_000 // 48_000),
        ("film.mp4", "aac", 48_000, "stereo", 2 * 1024 * 16_000 // 48_000),
        ("film.webm", "libopus", 48_000, "mono", 2 * 960 * 16_000 // 48_000),
    ],
)
def test_containers(tmp_path, *, name, codec, rate, layout, slack):
    """Each container gives the samples it holds, resampled, none lost at the end."""
    path = encode(tmp_path / name, codec, rate=rate, samples=rate * 3 // 2, layout=layout)
    pcm = decoded(path)
    assert len(pcm) % 2 == 0
    assert 24_000 - min(slack, 1) <= len(pcm) // 2 <= 24_000 + slack
    assert correlation(pcm, tone(24_000, 16_000)) > 0.99


def test_odd_length_at_an_odd_rate(tmp_path):
    """The resampler's last samples come out too: 10 s and one sample at 11 025 Hz lose nothing; the file says how long it is."""
    path = encode(tmp_path / "odd.wav", "pcm_s16le", rate=11_025, samples=110_251)
    with open_file(str(path)) as media:
        assert media.duration_s == pytest.approx(110_251 / 11_025, abs=0.01)
        assert abs(sum(map(len, media.pieces())) // 2 - 110_251 * 16_000 / 11_025) <= 1


def test_video_with_sound(tmp_path):
    """The audio of a film is found beside its pictures; a silent film has none."""
    for name, sound in (("talkie.mkv", True), ("silent.mkv", False)):
        with av.open(str(tmp_path / name), "w") as film:
            picture = film.add_stream("mpeg4", rate=10)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
            speech = film.add_stream("pcm_s16le", rate=16_000, layout="mono") if sound else None
            for number in range(10):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts = number
                film.mux(picture.encode(frame))
            film.mux(picture.encode(None))
            if speech:
                frame = av.AudioFrame("s16", "mono", 16_000)
                frame.planes[0].update(tone(16_000, 16_000).ljust(frame.planes[0].buffer_size, b"\0"))
                frame.sample_rate = 16_000
                film.mux(speech.encode(frame))
                film.mux(speech.encode(None))
    assert len(decoded(tmp_path / "talkie.mkv")) == 32_000
    with pytest.raises(MediaError, match=r"silent\.mkv: there is no audio in it"):
        open_file(str(tmp_path / "silent.mkv"))


def test_format_change_on_the_way(tmp_path):
    """A stream that goes from stereo to mono and to another rate is one recording: all of it comes out."""
    parts = [("stereo", 48_000), ("mono", 44_100)]
    files = [
        encode(tmp_path / f"{layout}.aac", "aac", rate=rate, samples=rate, layout=layout, format="adts")
        for layout, rate in parts
    ]
    whole = tmp_path / "whole.aac"
    whole.write_bytes(b"".join(file.read_bytes() for file in files))
    assert 32_000 <= len(decoded(whole)) // 2 <= 32_000 + 4 * 1024


def test_cut_file(tmp_path):
    """A file whose download broke off gives what is there."""
    path = encode(tmp_path / "whole.mp3", "libmp3lame", rate=44_100, samples=441_000)
    cut = tmp_path / "cut.mp3"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0.4 * 160_000 < len(decoded(cut)) // 2 < 0.6 * 160_000


def test_damaged_packets_are_counted(tmp_path):
    """Garbage in the middle costs its own packets, and they are counted."""
    path = encode(tmp_path / "whole.mp3", "libmp3lame", rate=44_100, samples=441_000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for index in range(middle, middle + 3000):
        data[index] ^= 0x5A
    path.write_bytes(data)
    with open_file(str(path)) as media:
        samples = sum(map(len, media.pieces())) // 2
        assert media.damaged_packets > 0
    assert samples > 0.85 * 160_000


class Trickle(io.RawIOBase):
    """A pipe: no seeking, a few bytes at a time."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        piece = self._data.read(min(len(buffer), 777))
        buffer[: len(piece)] = piece
        return len(piece)


def test_container_from_a_pipe(tmp_path):
    """A container that cannot be sought in is decoded all the same."""
    path = encode(tmp_path / "a.ogg", "libopus", rate=48_000, samples=96_000)
    with open_stream(Trickle(path.read_bytes())) as media:
        assert b"".join(media.pieces()) == decoded(path)


def test_addresses_are_not_opened():
    """A name that FFmpeg would take for an address or a recipe is only ever a file's name."""
    for name in ("http://127.0.0.1:9/a.wav", "concat:/etc/passwd", "lavfi:sine"):
        with pytest.raises(MediaError, match="no such file"):
            open_file(name)


def test_raw_pipe_with_cut_samples():
    """Raw PCM in pieces of odd length stays aligned."""
    pcm = tone(10_000, 16_000)
    messages = list(regroup(read_raw(Trickle(pcm)), 3200))
    assert b"".join(messages) == pcm
    assert [len(message) for message in messages] == [3200] * 6 + [800]


def test_microphone(alsa):
    """A capture device is read through PyAV's ALSA input: what it hears arrives at 16 kHz mono."""
    with open_microphone("alsa:tape") as microphone:
        block = next(regroup(microphone.pieces(), 12_800))
    assert correlation(block, tone(8000, 16_000)) > 0.99


def test_no_microphone(alsa):
    """Without one, the message says what was tried."""
    with pytest.raises(MediaError, match="microphone alsa:default: "):
        open_microphone(None)
