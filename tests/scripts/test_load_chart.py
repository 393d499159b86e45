"""scripts/load_test --plot: what loads came to as a chart."""

import json
import xml.etree.ElementTree as ET

from click.testing import CliRunner

from scripts.load.chart import ticks
from scripts.load.cli import command


def test_ticks_are_round_and_reach_the_top():
    """Few round numbers from 0 to the largest value or just above."""
    for most in (0.03, 0.9, 1.0, 3.3, 48.0, 1234.0):
        found = ticks(most)
        assert found[0] == 0
        assert most <= found[-1] * 1.000001 <= 2 * most
        assert 3 <= len(found) <= 9


def load(streams, **figures):
    return {"streams": streams, "figures": figures}


def test_a_load_table_is_drawn(tmp_path):
    """Files of the load test become one SVG with a chart of latencies and one of cores, ready for light and dark."""
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    one.write_text(json.dumps({"runs": [load(1, shown_p50_s=0.3, shown_p95_s=0.8, cpu_per_audio_s=0.1)]}))
    two.write_text(json.dumps({"runs": [load(16, shown_p50_s=0.6, shown_p95_s=None, cpu_per_audio_s=0.08)]}))
    out = tmp_path / "load.svg"
    done = CliRunner().invoke(command, [str(one), str(two), "--plot", str(out)])
    assert done.exit_code == 0, done.output
    root = ET.fromstring(out.read_text())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"shown, p50", "shown, p95", "gateway and workers", "16"} <= set(texts)
    assert "committed, p50" not in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 5
    assert "prefers-color-scheme: dark" in out.read_text()


def test_what_cannot_be_drawn_is_refused(tmp_path):
    """A file of something else, and loads without figures, end in a sentence and exit code 2."""
    for content in ("[]", '{"runs": [{}]}', "no json", '{"runs": []}'):
        (tmp_path / "x.json").write_text(content)
        done = CliRunner().invoke(command, [str(tmp_path / "x.json"), "--plot", str(tmp_path / "x.svg")])
        assert done.exit_code == 2, content
        assert not (tmp_path / "x.svg").exists()
    assert CliRunner().invoke(command, [str(tmp_path / "x.json")]).exit_code == 2, "--plot is missing"
