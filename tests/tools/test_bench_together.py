"""`unreel bench together` on the tiny data set."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unreel.shards.catalogue import Catalogue
from unreel.tools.bench.command import bench

NEAR = ["--task", "near=shuffle_and_learn", "--task", "far=shuffle_and_learn"]
SMALL = {"window": 96, "crop": 80, "camera_shift": 8, "min_motion": 0.0, "tau_max_seconds": 0.5}


def test_one_decode_is_counted_beside_a_stream_a_task(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    settings = [f"{label}.{key}={value}" for label in ("near", "far") for key, value in SMALL.items()]
    chosen = [part for text in settings for part in ("--set", text)]
    sizes = ["--batch", "4", "--steps", "2", "--repeats", "1", "--threads", "1", "--json", str(out)]
    command = ["together", str(tiny_catalogue.folder), *NEAR, *chosen, *sizes]
    done = CliRunner().invoke(bench, command, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(out.read_text())
    assert found["shown"] == {"near": 40, "far": 40}
    # The same draws and lengths: the same frames.
    assert found["decoded"] == found["alone"]["near"] == found["alone"]["far"]
    assert "50% saved" in done.output.replace("\n", " ")
    assert all(seconds > 0 for seconds in found["seconds"].values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "correspondence"], "two tasks or more"),
        (["--task", "correspondence"] * 2, "a label of its own"),
        ([*NEAR, "--set", "there.window=96"], "no task 'there'; there are near, far"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tiny_catalogue: Catalogue, options: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CliRunner().invoke(bench, ["together", str(tiny_catalogue.folder), *options], catch_exceptions=False)
