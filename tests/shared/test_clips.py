import array

from shared.clips import load_clips


def test_clips_are_what_the_manifest_says():
    """Each clip has the length, the words and the rising word ends that the manifest gives, and sounds."""
    clips = load_clips()
    assert len(clips) == 6
    for clip in clips:
        samples = array.array("h", clip.pcm())
        assert abs(len(samples) / 16000 - clip.duration_s) < 0.001
        assert max(samples) > 3000
        assert [word for word, _ in clip.words] == clip.text.split()
        ends = [end_s for _, end_s in clip.words]
        assert ends == sorted(ends)
        assert 0 < ends[0] < ends[-1] <= clip.duration_s
        assert "public domain" in clip.source
