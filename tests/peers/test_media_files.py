"""Faults 5 to 8: recordings whose words were lost, or stood at the wrong time, on the way into `scripts/transcribe`."""

import array
import io

import av
import numpy as np
import pytest
from whisper_live_client.media import MediaError, open_file, open_stream

from tests.client.sessions import transcribe
from tests.scripts.scripted_server import encode, hello, tone

RATE = 16_000


def loudness(pcm):
    """Return the root mean square of s16 samples."""
    values = np.frombuffer(pcm, np.int16).astype(float)
    return float(np.sqrt((values**2).mean())) if len(values) else 0.0


def write_channels(path, gains, *, layout, rate=44_100, codec="pcm_s16le"):
    """Write a second of a tone, with a gain for each channel."""
    mono = np.frombuffer(tone(rate, rate), np.int16).astype(float)
    channels = np.stack([np.clip(mono * gain, -32768, 32767).astype(np.int16) for gain in gains], axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels.reshape(1, -1)), format="s16", layout=layout)
        frame.sample_rate = rate
        for made in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    return path


def decoded(path, track=None):
    """Return what a file's audio is, and the open file's figures."""
    with open_file(str(path), track) as media:
        return b"".join(media.pieces()), media


@pytest.mark.parametrize(
    ("name", "gains", "layout", "cancels"),
    [
        ("inverted.wav", (1, -1), "stereo", True),
        ("nearly.flac", (1, -0.9), "stereo", True),
        ("four.wav", (1, -1, 0.5, -0.5), "4.0", True),
        ("alike.wav", (1, 1), "stereo", False),
        ("one-sided.wav", (0, 1), "stereo", False),
        ("film.wav", (0.1, 0.1, 1, 0, 0.1, 0.1), "5.1", False),
    ],
)
def test_fault_05_channels_that_cancel_out(tmp_path, *, name, gains, layout, cancels):
    """Relatives: channels nearly inverted, more than two channels, and recordings that only look like it.

    A stereo recording with one channel inverted was mixed to silence: no word, exit 0.
    """
    codec = "flac" if name.endswith("flac") else "pcm_s16le"
    pcm, media = decoded(write_channels(tmp_path / name, gains, layout=layout, codec=codec))
    assert media.cancelled == cancels
    assert loudness(pcm) > loudness(tone(RATE, RATE)) * 0.2
    assert abs(len(pcm) // 2 - RATE) <= 1


def test_fault_05_is_said(tmp_path):
    """Which channel was taken is said at the end of the command."""
    path = write_channels(tmp_path / "inverted.wav", (1, -1), layout="stereo")
    done, (conversation,) = transcribe(hello, path, "--fast")
    assert done.code == 0
    assert "inverted.wav: its channels cancel each other out" in done.err
    assert loudness(bytes(conversation.audio)) > 3000


def write_late(path, codec, spans, *, rate=RATE):
    """Write a film of 6 s whose tone is at the spans of time alone."""
    with av.open(str(path), "w") as film:
        picture = film.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        sound = film.add_stream(codec, rate=rate, layout="mono")
        packets = []
        for number in range(60):
            frame = av.VideoFrame(32, 32, "yuv420p")
            frame.pts = number
            packets += picture.encode(frame)
        packets += picture.encode(None)
        size = sound.codec_context.frame_size or 1024
        values = np.frombuffer(tone(rate * 6, rate), np.int16)
        for start_s, end_s in spans:
            for at in range(round(start_s * rate), round(end_s * rate), size):
                block = np.ascontiguousarray(values[at : at + size].reshape(1, -1))
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
                frame.sample_rate, frame.pts = rate, at
                for made in av.AudioResampler(format=sound.codec_context.format, layout="mono", rate=rate).resample(
                    frame
                ):
                    made.pts = at
                    packets += sound.encode(made)
        packets += sound.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            film.mux(packet)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "spans"),
    [
        ("late.mkv", "pcm_s16le", [(3.9, 5)]),
        ("late.mp4", "aac", [(3.9, 5)]),
        ("late.ts", "mp2", [(2.5, 4)]),
        ("gap.mkv", "pcm_s16le", [(0, 1), (3.2, 4)]),
        ("late-and-gap.mkv", "flac", [(1, 2), (4, 5)]),
        ("whole.mkv", "pcm_s16le", [(0, 5)]),
    ],
)
def test_fault_06_times_are_the_pictures(tmp_path, *, name, codec, spans):
    """Relatives: other containers, gaps in the middle, and a track without any.

    The first words of a film whose sound begins after 3.9 s had the time 0.02 s.
    """
    rate = 48_000 if codec == "mp2" else RATE
    pcm, _ = decoded(write_late(tmp_path / name, codec, spans, rate=rate))
    loud = np.abs(np.frombuffer(pcm, np.int16).astype(float)) > 1000
    blocks = [loud[at : at + 800].mean() > 0.3 for at in range(0, len(loud), 800)]
    edges = [number * 0.05 for number in range(1, len(blocks)) if blocks[number] != blocks[number - 1]]
    starts_late = spans[0][0] > 0
    expected = [edge for span in spans for edge in span][0 if starts_late else 1 :]
    assert len(edges) >= len(expected) - 1
    for edge, wanted in zip(edges, expected, strict=False):
        assert edge == pytest.approx(wanted, abs=0.16)


def test_fault_06_broken_time_stamps_bring_no_hours_of_silence(tmp_path):
    """A count that jumps by days, or starts anew, goes on where it was."""
    path = tmp_path / "jump.mkv"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start in (0, 90_000 * RATE):
            frame = av.AudioFrame.from_ndarray(
                np.frombuffer(tone(RATE, RATE), np.int16).reshape(1, -1), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = RATE, start
            container.mux(sound.encode(frame))
    pcm, _ = decoded(path)
    assert len(pcm) // 2 == 2 * RATE


def write_tracks(path, codec, gains, default=None):
    """Write a container with an audio track for each gain."""
    with av.open(str(path), "w") as container:
        sounds = []
        for number, _ in enumerate(gains):
            sound = container.add_stream(codec, rate=RATE, layout="mono")
            sound.metadata["language"] = ("eng", "deu", "fra")[number]
            sound.disposition = av.stream.Disposition.default if number == default else 0
            sounds.append(sound)
        for sound, gain in zip(sounds, gains, strict=True):
            values = array.array("h", (round(value * gain) for value in array.array("h", tone(RATE, RATE))))
            frame = av.AudioFrame.from_ndarray(np.array(values, np.int16).reshape(1, -1), format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            for made in av.AudioResampler(
                format=sound.codec_context.format, layout="mono", rate=RATE, frame_size=sound.codec_context.frame_size
            ).resample(frame):
                container.mux(sound.encode(made))
            container.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "default", "asked", "taken"),
    [
        ("second.mkv", "pcm_s16le", 1, None, 2),
        ("third.mp4", "aac", 2, None, 3),
        ("none.mkv", "pcm_s16le", None, None, 1),
        ("asked.mkv", "pcm_s16le", 1, 3, 3),
    ],
)
def test_fault_07_the_default_track_is_taken(tmp_path, *, name, codec, default, asked, taken):
    """Relatives: another container, no default at all, a track by its number."""
    gains = (0.2, 0.5, 1.0)
    pcm, media = decoded(write_tracks(tmp_path / name, codec, gains, default), asked)
    assert media.track.number == taken
    assert loudness(pcm) == pytest.approx(loudness(tone(RATE, RATE)) * gains[taken - 1], rel=0.15)


def test_fault_07_several_tracks_are_told(tmp_path):
    """The command says which track it takes, and names them all if one is asked for that is not there."""
    path = write_tracks(tmp_path / "film.mkv", "pcm_s16le", (0.2, 1.0), 1)
    done, _ = transcribe(hello, path, "--fast")
    assert "track 2 (deu) of 1 (eng), 2 (deu); --track N takes another" in done.err
    done, _ = transcribe(hello, path, "--fast", "--track", "1", "--quiet")
    assert (done.code, done.err) == (0, "")
    with pytest.raises(MediaError, match=r"there is no track 3; it has 1 \(eng\), 2 \(deu\)"):
        open_file(str(path), 3)


class Pipe(io.RawIOBase):
    """Bytes that cannot be sought in."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._data.readinto(buffer)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("voice.m4a", "aac", {"format": "ipod"}),
        ("film.mp4", "aac", {}),
        ("film.mov", "pcm_s16le", {}),
        ("phone.3gp", "aac", {}),
        ("quick.mp4", "aac", {"options": {"movflags": "faststart"}}),
    ],
)
def test_fault_08_containers_with_their_index_at_the_end(tmp_path, *, name, codec, options):
    """Relatives: MP4, QuickTime, 3GP; one whose index is at the front is read as it comes.

    An .m4a in a pipe was "not audio or video that can be read".
    """
    path = encode(tmp_path / name, codec, rate=44_100, samples=88_200, **options)
    with open_stream(Pipe(path.read_bytes())) as media:
        assert b"".join(media.pieces()) == decoded(path)[0]


def test_fault_08_noise_in_a_pipe_is_still_named():
    """What is no audio at all is refused as before."""
    with pytest.raises(MediaError, match="standard input: not audio or video that can be read"):
        open_stream(Pipe(bytes(range(256)) * 100))
