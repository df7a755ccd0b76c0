"""The factors of a world: balanced, independent of one another, and told by the picture where they should be."""

import itertools

import msgspec
import numpy as np
import pytest

from unreel.tools.synth.laws import LAWS
from unreel.tools.synth.look import BACKGROUNDS, SHAPES, TEXTURES
from unreel.tools.synth.render import render
from unreel.tools.synth.sound import FLUTTER, VOICES
from unreel.tools.synth.world import MATERIALS, SPLITS, World, clip_of, indices, labels, tracks

WORLD = World(seed=0, clips=600, frames=20, rate=10, width=48, height=48)
FACTORS = {"law": LAWS, "shape": SHAPES, "sound_class": MATERIALS, "background": BACKGROUNDS}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str | int | float]]:
    return [labels(WORLD, clip_of(WORLD, index)) for index in range(WORLD.clips)]


def test_tables_belong_together() -> None:
    assert MATERIALS.keys() == VOICES.keys() and SHAPES.keys() == FLUTTER.keys()
    assert {material.texture for material in MATERIALS.values()} == set(TEXTURES)


@pytest.mark.parametrize("factor", FACTORS)
def test_factors_are_balanced(rows: list[dict], factor: str) -> None:
    counts = [sum(row[factor] == value for row in rows) for value in FACTORS[factor]]
    assert sum(counts) == 600 and max(counts) - min(counts) <= 1


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(FACTORS, 2)))
def test_factors_are_independent(rows: list[dict], one: str, other: str) -> None:
    """Pearson's chi-squared over its degrees of freedom is about 1 for independent factors."""
    table = np.array(
        [[sum(r[one] == a and r[other] == b for r in rows) for b in FACTORS[other]] for a in FACTORS[one]]
    )
    expected = 600 / table.size
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    assert ((table - expected) ** 2 / expected).sum() / freedom < 2.2


def test_a_fifth_is_held_out_and_holds_every_law(rows: list[dict]) -> None:
    held_out = [row for row in rows if row["split"] == "val"]
    assert len(held_out) == 120 and {row["law"] for row in held_out} == set(LAWS)


def test_a_split_is_a_part_of_the_same_world() -> None:
    parts = {split: indices(msgspec.structs.replace(WORLD, split=split)) for split in SPLITS}
    assert parts["all"] == list(range(600)) == sorted(parts["train"] + parts["val"])
    assert {labels(WORLD, clip_of(WORLD, index))["split"] for index in parts["val"]} == {"val"}


def test_a_clip_does_not_depend_on_the_size_of_the_world() -> None:
    larger = msgspec.structs.replace(WORLD, clips=1000)
    assert labels(WORLD, clip_of(WORLD, 17)) == labels(larger, clip_of(larger, 17))
    other = msgspec.structs.replace(WORLD, seed=1)
    assert labels(WORLD, clip_of(WORLD, 17)) != labels(other, clip_of(other, 17))


def test_tracks_are_in_range() -> None:
    for index in range(60):
        clip = clip_of(WORLD, index)
        shown = tracks(WORLD, clip)
        assert set(shown) == {"x", "y", "size", "phase", "event"}
        for name, track in shown.items():
            assert track.shape == (20,) and track.min() >= 0 and track.max() <= 1, name
        frames = {int(event.seconds * WORLD.rate) for event in clip.motion.events}
        assert set(np.flatnonzero(shown["event"])) == frames


def test_the_picture_tells_the_sound_class_and_the_twin_does_not() -> None:
    """Nearest class centre of the mean colour of a frame's most colourful pixels, learnt on other clips."""
    accuracies = {}
    for drawn in (True, False):
        world = msgspec.structs.replace(WORLD, objects=drawn)
        clips = [clip_of(world, index) for index in range(144)]
        colours = np.array([colourful(render(world, clip)[10]) for clip in clips])
        classes = np.array([clip.sound_class for clip in clips])
        centres = np.array([colours[:72][classes[:72] == name].mean(axis=0) for name in MATERIALS])
        nearest = np.linalg.norm(colours[72:, None] - centres, axis=-1).argmin(axis=1)
        accuracies[drawn] = (np.array(list(MATERIALS))[nearest] == classes[72:]).mean()
    assert accuracies[True] > 0.85
    # Chance is 1/6 with a standard error of .044 over 72 clips.
    assert accuracies[False] < 1 / 6 + 3 * 0.044


def colourful(picture: np.ndarray) -> np.ndarray:
    pixels = picture.reshape(-1, 3).astype(float)
    chroma = np.ptp(pixels, axis=1)
    mean = pixels[chroma >= np.quantile(chroma, 0.98)].mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clips": 0}, "clips is 0"),
        ({"rate": 1000}, "rate is 1000"),
        ({"frames": 1}, "frames"),
        ({"width": 49}, "use 50"),
        ({"width": 48, "height": 64}, "swap"),
        ({"height": 16}, "height is 16"),
        ({"clips": 4, "split": "val"}, "empty"),
        ({"nuisances": {"audio_offset": float("nan")}}, "audio_offset"),
    ],
)
def test_impossible_worlds_are_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        msgspec.convert(msgspec.to_builtins(WORLD) | change, World)
