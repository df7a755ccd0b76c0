"""Make the golden data set of the running version: `python -m tests.golden.shards.make`, once a schema version and never again.

What it writes beside this file is read by every later version; see `test_golden.py`. The media are generated.
"""

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import msgspec
import numpy as np

from unreel.pipelines.draws import Draws
from unreel.pipelines.order import Order
from unreel.pipelines.pretext import make_task
from unreel.pipelines.selection import select
from unreel.shards.build import build
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import Reader
from unreel.shards.sample import SCHEMA

SEED = 17
POSITIONS = 200
PLANNED = 24
TASKS = {"shuffle_and_learn": {"tau_max_seconds": 0.5}, "correspondence": {}}
RATES = (25, 24, 30, 25)


def make_source(path: Path, number: int) -> None:
    """Two scenes of 1.2 s: a square that moves over a plain ground, and a tone that is silent for a while."""
    rate, half = RATES[number], 1.2
    scenes = "".join(
        f"color={ground}:s=160x128:r={rate}:d={half}[g{i}];color={colour}:s=40x40:r={rate}:d={half}[s{i}];"
        f"[g{i}][s{i}]overlay=x='{60 + 20 * number}*t':y={30 + 10 * number}[v{i}];"
        for i, (ground, colour) in enumerate([("gray", "orange"), ("navy", "white")])
    )
    graph = f"{scenes}[v0][v1]concat=n=2,format=yuv420p[v]"
    tone = f"sine=f={150 + 50 * number}:r=48000:d={2 * half},volume=0.2,volume=0:enable='between(t,0.6,1.4)'"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", tone]
    command += ["-filter_complex", graph, "-map", "[v]", *(["-map", "0:a"] if number != 2 else [])]
    command += ["-c:v", "libx264", "-threads", "1", "-c:a", "pcm_s16le", "-f", "mov", str(path)]
    subprocess.run(command, check=True)


def make_manifest(folder: Path) -> Path:
    """Four sources with a label, a licence and a label over time."""
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "law", "licence", "x[]"])
        for number, rate in enumerate(RATES):
            make_source(folder / f"golden {number}.mov", number)
            track = np.round(np.linspace(0, 1, round(1.2 * rate) * 2), 3)
            rows.writerow([f"golden {number}.mov", f"law-{number % 2}", "CC0", " ".join(map(str, track))])
    return manifest


def describe(folder: Path) -> dict[str, Any]:
    """What the running version reads in `folder`: every later one must read the same."""
    catalogue = Catalogue.open(folder)
    reader = Reader(catalogue)
    rows = list(catalogue.rows())
    sidecars = [reader.read(shard, ordinal).sidecar for shard, ordinal, _ in rows]
    return {
        "schema": "{}.{}".format(*SCHEMA),
        "digest": catalogue.digest,
        "rows": [msgspec.to_builtins(row) for _, _, row in rows],
        "sidecars": [msgspec.to_builtins(sidecar) for sidecar in sidecars],
        "curves": [curves(sidecar) for sidecar in sidecars],
        "plans": {name: plans(catalogue, reader, name) for name in TASKS},
    }


def curves(sidecar: Any) -> dict[str, list[float]]:
    """Packed columns as numbers: their dtypes are part of the contract."""
    packets, facts = sidecar.video.packets, sidecar.facts
    columns = {
        "offsets": packets.offsets,
        "sizes": packets.sizes,
        "key_frames": packets.key_frames,
        "motion": facts.motion_curve,
        "luma": facts.luma_curve,
        "loudness": facts.loudness_curve,
        "x": sidecar.track("x"),
    }
    return {name: column.tolist() for name, column in columns.items()}


def plans(catalogue: Any, reader: Any, name: str) -> dict[str, Any]:
    """Keys of the first positions of a run, and the plans of some of them."""
    task = make_task(name, **TASKS[name])
    order = Order(select(catalogue, task.needs, split=None, holdout=0.0), SEED)
    places = order.locate(range(POSITIONS))
    draws = Draws.of(SEED, name, np.arange(POSITIONS))
    keys, planned = [], []
    for row, place in enumerate(places):
        sample = reader.read(place.shard, place.ordinal, members=())
        keys.append(sample.sidecar.key)
        if row < PLANNED:
            planned.append(as_numbers(task.plan(sample.sidecar, draws.row(row))))
    return {"keys": keys, "plans": planned}


def as_numbers(plan: Any) -> list[list[int]]:
    window, sound = plan.window, plan.sound
    return [
        plan.frames.tolist(),
        [] if window is None else [window.top, window.left, window.height, window.width],
        [] if sound is None else [sound.start, sound.length],
    ]


def main(out: Path) -> None:
    """Build the data set of this version below `out`."""
    folder = out / "{}.{}".format(*SCHEMA)
    if folder.exists():
        raise SystemExit(f"{folder} is there: a golden data set is made once")
    with tempfile.TemporaryDirectory() as scratch:
        media, built = Path(scratch) / "media", Path(scratch) / "shards"
        media.mkdir()
        build([make_manifest(media)], built, shard_bytes=200_000)
        shutil.copytree(
            built, folder, ignore=shutil.ignore_patterns(".lock", "build.json", "plan.json", "*.reports.json")
        )
    (folder / "expected.json").write_text(json.dumps(describe(folder)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
