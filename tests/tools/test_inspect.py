"""`unreel inspect`: sheets show what towers take, pages show one sample exactly."""

import io
import json
import shutil
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from unreel.pipelines.loader import Loader
from unreel.pipelines.ops.normalise import denormalise
from unreel.pipelines.pretext import make_task
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import EncodedSample, Reader
from unreel.tools.inspect import inspect
from unreel.tools.sheets import contact, correspondence, rows, shuffle_and_learn

SETTINGS = {
    "colourisation": ["window=96", "crop=80", "size=50", "cells=10"],
    "shuffle_and_learn": [
        "tau_max_seconds=0.6",
        "tau_min_seconds=0.2",
        "window=96",
        "crop=80",
        "camera_shift=16",
        "size=50",
    ],
    "correspondence": ["window=96", "crop=80", "size=50", "group=8"],
}


def look(catalogue: Catalogue, out: Path, **settings: Any) -> dict[str, Any]:
    defaults = {
        "task": None,
        "settings": None,
        "key": None,
        "split": "all",
        "step": 0,
        "steps": 1,
        "rows": 8,
        "seed": 0,
        "backend": "packets",
    }
    inspect(catalogue.folder, out=out, json=str(out.with_suffix(".json")), **(defaults | settings))
    return json.loads(out.with_suffix(".json").read_text())


@pytest.fixture
def sample(tiny_catalogue: Catalogue) -> EncodedSample:
    return Reader(tiny_catalogue).read(0, 2)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_sheet_holds_the_very_pixels_that_the_tower_takes(
    tiny_catalogue: Catalogue, tmp_path: Path, name: str
) -> None:
    found = look(tiny_catalogue, tmp_path / "look", task=name, settings=SETTINGS[name], step=1)
    assert found["steps"][0]["step"] == 1 and found["steps"][0]["rows"] == 8
    sheet = np.asarray(Image.open(found["files"][0]))
    task = make_task(name, **settings_of(name))
    with Loader(
        tiny_catalogue, task, batch_size=8, seed=0, split=None, backend="packets", prefetch=0
    ) as loader:
        frames = denormalise(loader.batch(1).inputs["frame"].reshape(-1, 3, 50, 50)[:1])[0].numpy()
    zoom = 6 if name == "correspondence" else 3
    tile = frames.repeat(zoom, 0).repeat(zoom, 1)
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], tile.shape[:2])
    near = np.argwhere(windows[:, 14:16, 0, 0] == tile[0, 0, 0])
    assert any((windows[top, 14 + left] == tile[:, :, 0]).all() for top, left in near)


def settings_of(name: str) -> dict[str, Any]:
    pairs = (setting.split("=") for setting in SETTINGS[name])
    return {key: float(value) if "." in value else int(value) for key, value in pairs}


def test_summary_counts_labels_and_names_samples(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    found = look(
        tiny_catalogue, tmp_path / "look", task="correspondence", settings=SETTINGS["correspondence"], steps=2
    )
    assert [step["labels"] for step in found["steps"]] == [{"0": 4, "1": 4}] * 2
    assert len(found["files"]) == 2 and all(key.startswith("tiny-") for key in found["steps"][0]["keys"])


def test_a_failed_row_is_shown_with_its_reason(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_catalogue.folder, damaged)
    row = tiny_catalogue.index(0).samples[0]
    (picture,) = (member for member in row.members if member.name == "mp4")
    with (damaged / "tiny-0.tar").open("r+b") as file:
        file.seek(picture.offset + picture.size // 2)
        file.write(b"\0" * 64)
    task = make_task("shuffle_and_learn", **settings_of("shuffle_and_learn"))
    with Loader(
        Catalogue.open(damaged), task, batch_size=36, seed=0, split=None, backend="packets"
    ) as loader:
        step = next(loader)
    assert [failure.key for failure in step.failures] == ["tiny-000"]
    failed = step.failures[0].row
    lines = " ".join(text for text, _ in rows.origin(step.batch, failed, "read: checksum"))
    assert "tiny-000" in lines and "not valid, read: checksum" in lines
    assert contact.contact_sheet(step, task, rows=36).height > 36 * 150


def test_words_say_labels_times_and_guards(tiny_catalogue: Catalogue) -> None:
    task = make_task("shuffle_and_learn", **settings_of("shuffle_and_learn") | {"min_difference": 1e4})
    with Loader(tiny_catalogue, task, batch_size=4, seed=0, split=None, backend="packets") as loader:
        batch = loader.batch(0)
    lines = [text for text, _ in shuffle_and_learn._tuple_words(batch, 0)]
    letters = ["abcde"[index] for index in batch.inputs["tuples"][0, 0].tolist()]
    assert lines[0] == f"{' '.join(letters)}  left out (-1)"
    assert any("frames look alike, left out" in line for line in lines)
    words = shuffle_and_learn._frame_words(batch.facts, 0, 2)
    assert words[0].startswith(f"c: {batch.facts['seconds'][0, 2]:.2f} s")


def test_words_of_a_pair_name_who_is_heard(tiny_catalogue: Catalogue) -> None:
    task = make_task("correspondence", **settings_of("correspondence"))
    with Loader(tiny_catalogue, task, batch_size=8, seed=0, split=None, backend="packets") as loader:
        batch = loader.batch(3)
    for row in range(8):
        lines = [text for text, _ in correspondence._pair_words(batch, row)]
        partner = int(batch.facts["partner"][row] - batch.positions[0])
        assert lines[0] == ("corresponds (1)" if partner == row else "does not correspond (0)")
        assert lines[1] == f"row {row} sees, row {partner} is heard"
        assert "on the frame grid" in lines[3]


def test_a_page_has_everything_of_a_sample(
    tiny_catalogue: Catalogue, sample: EncodedSample, tmp_path: Path
) -> None:
    found = look(tiny_catalogue, tmp_path / "page", key=sample.sidecar.key)
    files = {Path(file).suffix: Path(file) for file in found["files"]}
    page = files[".html"].read_text()
    assert f'<audio controls src="{files[".wav"].name}">' in page
    assert "http" not in page and all(Path(file).stat().st_size for file in found["files"])
    assert files[".mp4"].read_bytes() == bytes(sample.members["mp4"])
    sidecar = json.loads(files[".json"].read_text())
    assert sidecar["video"]["packets"]["key_frames"] == sample.sidecar.video.packets.key_frames.tolist()
    np.testing.assert_allclose(sidecar["facts"]["motion"], sample.sidecar.facts.motion_curve, atol=1e-3)
    np.testing.assert_allclose(sidecar["tracks"]["x"], sample.sidecar.track("x"), atol=1e-3)


def test_the_sound_is_exact(tiny_catalogue: Catalogue, sample: EncodedSample, tmp_path: Path) -> None:
    found = look(tiny_catalogue, tmp_path / "page", key=sample.sidecar.key)
    path = next(file for file in found["files"] if file.endswith(".wav"))
    with wave.open(path) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        written = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    with av.open(io.BytesIO(sample.members["flac"])) as container:
        stored = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    np.testing.assert_array_equal(written, stored)


def _height_of_curves(found: dict[str, Any]) -> int:
    with Image.open(next(file for file in found["files"] if file.endswith("-curves.png"))) as picture:
        return picture.height


def test_a_page_without_sound_has_none(
    tiny_catalogue: Catalogue, sample: EncodedSample, tmp_path: Path
) -> None:
    found = look(tiny_catalogue, tmp_path / "page", key="tiny-003")
    assert not [file for file in found["files"] if file.endswith(".wav")]
    assert "<audio" not in Path(found["files"][0]).read_text()
    sounding = look(tiny_catalogue, tmp_path / "sounding", key=sample.sidecar.key)
    assert 3 * _height_of_curves(found) == _height_of_curves(sounding), (
        "empty axes for sound that is not there"
    )


def test_an_unknown_key_names_near_ones(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"key 'tiny-0033': not among the 36 samples .* near: tiny-03"):
        look(tiny_catalogue, tmp_path / "page", key="tiny-0033")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of --task"),
        ({"task": "correspondence", "key": "tiny-000"}, "one of --task"),
        ({"task": "correspondance"}, "did you mean 'correspondence'"),
        ({"task": "correspondence", "settings": ["group"]}, "write KEY=VALUE"),
        ({"task": "correspondence", "settings": ["features=mfcc"]}, "features = 'mfcc'"),
    ],
)
def test_wrong_usage_is_told_with_what_is_right(
    tiny_catalogue: Catalogue, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        look(tiny_catalogue, tmp_path / "look", **settings)
