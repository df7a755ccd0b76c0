"""Near-duplicates: what a slow and plain search finds, black is no copy of black, and what goes stays away."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unreel.shards.build import build
from unreel.shards.care import duplicates
from unreel.shards.care.dedup import dedup, read_duplicates
from unreel.shards.care.duplicates import Candidate, find_duplicates
from unreel.shards.care.likeness import Likeness, Trace, agreement
from unreel.shards.care.repair import repair
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue
from unreel.shards.sample import STEP_RATE

FFmpeg = Callable[..., None]
ALIKE = Trace(np.zeros(0, np.float32), np.zeros(0, np.float32))


def candidate(key: str, words: Sequence[int], **changes: object) -> Candidate:
    plain = Candidate(
        shard="a",
        key=key,
        source=key,
        words=np.array(words, np.uint64),
        still=False,
        pixels=1,
        original_pixels=1,
        sound=False,
    )
    return replace(plain, **changes)


def find(candidates: list[Candidate], likeness: Likeness | None = None, **rest: bool) -> dict[str, str]:
    """Key of what goes → key of what is kept."""
    found = find_duplicates(candidates, lambda number: ALIKE, likeness or Likeness(), **rest)
    return {pair.key: pair.kept_key for pair in found}


def search_slowly(candidates: list[Candidate], likeness: Likeness) -> set[str]:
    """What goes, by comparing every sample with all that are kept, at every offset."""
    kept: list[Candidate] = []
    gone = set()
    for one in sorted(candidates, key=lambda some: some.preference):
        shows = [(word).bit_count() >= 16 for word in one.words.tolist()]
        needed = likeness.share * sum(shows)
        if (
            sum(shows) * 2 >= len(shows)
            and any(
                seconds_alike(one, other, shows, offset, likeness.distance) >= needed - 1e-9
                and other.source != one.source
                for other in kept
                for offset in range(-len(one.words), len(other.words) + 1)
            )
            and sum(shows)
        ):
            gone.add(one.key)
        else:
            kept.append(one)
    return gone


def seconds_alike(one: Candidate, other: Candidate, shows: list[bool], offset: int, distance: int) -> int:
    pairs = ((i, i + offset) for i in range(len(shows)) if shows[i] and 0 <= i + offset < len(other.words))
    return sum((int(one.words[i]) ^ int(other.words[j])).bit_count() <= distance for i, j in pairs)


@st.composite
def datasets(draw: st.DrawFn) -> list[Candidate]:
    """Clips cut from few recordings, bits flipped here and there, black seconds among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    recordings = rng.integers(0, 2**64, (3, 12), np.uint64)
    clips = []
    for number in range(draw(st.integers(1, 14))):
        start, length = rng.integers(0, 8), rng.integers(1, 6)
        words = recordings[rng.integers(0, 3), start : start + length].copy()
        for place in range(len(words)):
            for bit in rng.choice(64, rng.integers(0, 9), replace=False).tolist():
                words[place] ^= np.uint64(1 << bit)
            if rng.random() < 0.2:
                words[place] = 0
        source = f"s{rng.integers(0, 9)}"
        clips.append(
            candidate(f"k{number:02}", words.tolist(), source=source, pixels=int(rng.integers(1, 3)))
        )
    return clips


@settings(max_examples=60)
@given(
    clips=datasets(),
    distance=st.integers(0, 9),
    share=st.sampled_from([0.5, 0.8, 1.0]),
    block=st.sampled_from([1, 3, 1024]),
)
def test_what_goes_is_what_a_slow_search_finds(
    clips: list[Candidate], distance: int, share: float, block: int
) -> None:
    likeness = Likeness(distance=distance, share=share, motion=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "_BLOCK", block)
        found = find(clips, likeness)
        assert found == find(clips[::-1], likeness), "the order of the samples decides nothing"
    assert set(found) == search_slowly(clips, likeness)
    assert not set(found.values()) & set(found), "nothing goes for the sake of what goes itself"


WORDS = np.random.default_rng(7).integers(0, 2**64, 8, np.uint64).tolist()


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"words": WORDS}, {"words": WORDS[2:5], "pixels": 9}),
        ({"sound": True}, {"pixels": 9}),
        ({"pixels": 9}, {"original_pixels": 9}),
        ({"original_pixels": 9}, {}),
    ],
)
def test_which_of_two_is_kept(better: dict, worse: dict) -> None:
    changes = [
        {key: np.array(value, np.uint64) if key == "words" else value for key, value in some.items()}
        for some in (better, worse)
    ]
    pair = [replace(candidate(key, WORDS), **change) for key, change in zip("zy", changes, strict=True)]
    assert find(pair) == {"y": "z"}
    assert find([candidate("z", WORDS), candidate("y", WORDS)]) == {"z": "y"}


def test_black_is_no_copy_of_black() -> None:
    assert find([candidate("a", [0] * 5), candidate("b", [0] * 5)]) == {}
    # Black with one picture in it says too little.
    assert find([candidate("a", [0, 0, 0, 0, WORDS[0]]), candidate("b", [0, 0, 0, 0, WORDS[0]])]) == {}
    assert find([candidate("a", [0, *WORDS]), candidate("b", [0, *WORDS])]) == {"b": "a"}


def test_clips_of_one_recording_and_pictures_beside_clips_are_left_alone() -> None:
    one, other = candidate("a", WORDS), candidate("b", WORDS, source="a")
    assert find([one, other]) == {} and find([one, other], same_source=True) == {"b": "a"}
    still = candidate("c", WORDS[:1], still=True)
    assert find([one, still]) == {}
    assert find([still, candidate("d", WORDS[:1], still=True)]) == {"d": "c"}


def test_motion_tells_one_scene_at_two_times_and_finds_the_offset() -> None:
    rng = np.random.default_rng(3)
    motion = rng.random(10 * STEP_RATE).astype(np.float32)
    silent = np.zeros(0, np.float32)
    whole, late = Trace(motion, silent), Trace(motion[60:], silent)
    other = Trace(rng.random(10 * STEP_RATE).astype(np.float32), silent)
    assert agreement(late, whole, 2, Likeness()), "60 steps are 2.4 seconds, and hashes a second apart"
    assert not agreement(late, whole, 4, Likeness()) and not agreement(whole, other, 0, Likeness())
    assert agreement(whole, other, 0, Likeness(motion=0))
    still = Trace(np.ones_like(motion), silent)
    assert agreement(still, still, 0, Likeness()) and not agreement(still, whole, 0, Likeness())


def test_where_both_have_sound_it_decides() -> None:
    rng = np.random.default_rng(4)
    motion, sound, dubbed = (10 * rng.random(5 * STEP_RATE).astype(np.float32) for _ in range(3))
    assert not agreement(Trace(motion, sound), Trace(motion, dubbed), 0, Likeness())
    assert agreement(Trace(motion, sound), Trace(motion, sound[:0]), 0, Likeness())
    assert agreement(Trace(motion, sound), Trace(dubbed, sound), 0, Likeness())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"distance": 16}, "distance 16: allowed is 0 to 15"),
        ({"share": 0.0}, "more than 0"),
        ({"motion": 2}, "motion 2"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Likeness(**setting)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, ffmpeg: FFmpeg) -> Path:
    """A clip, the same smaller and as Matroska, the same without its beginning, another clip, and two black ones."""
    folder = tmp_path_factory.mktemp("videos")
    first = folder / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=s=192x128:r=25", "-t", 5, "-c:v", "libx264", first)
    ffmpeg("-i", first, "-vf", "scale=128:-2", "-crf", 30, "-c:v", "libx264", folder / "b.mkv")
    ffmpeg("-ss", 2, "-i", first, "-c:v", "libx264", folder / "c.mp4")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=192x128:r=25:d=4", "-c:v", "libx264", folder / "d.mp4")
    for seconds in (2, 3):
        black = f"color=black:s=192x128:r=25:d={seconds}"
        ffmpeg("-f", "lavfi", "-i", black, "-c:v", "libx264", folder / f"black{seconds}.mp4")
    return folder


@pytest.fixture
def shards(videos: Path, tmp_path: Path) -> Path:
    build([videos], tmp_path / "shards", shard_bytes=30_000)
    return tmp_path / "shards"


def names(folder: Path) -> set[str]:
    return {row.key.split("-")[0] for _, _, row in Catalogue.open(folder).rows()}


def test_copies_go_and_stay_away(shards: Path, videos: Path) -> None:
    trial = dedup(shards, dry_run=True)
    assert not trial.done and names(shards) == {"a", "b", "c", "d", "black2", "black3"}
    found = dedup(shards)
    assert [
        (pair.key[0], pair.kept_key[0]) for pair in sorted(found.duplicates, key=lambda pair: pair.key)
    ] == [
        ("b", "a"),
        ("c", "a"),
    ]
    assert found.duplicates == trial.duplicates == read_duplicates(shards)
    assert names(shards) == {"a", "d", "black2", "black3"} and found.samples_left == 4
    assert verify(shards, mode="full").clean
    assert dedup(shards).duplicates == () and len(read_duplicates(shards)) == 2
    again = build([videos], shards, shard_bytes=30_000)
    assert names(shards) == {"a", "d", "black2", "black3"}
    assert {Path(report.source).stem: report.reason for report in again.reports}["b"] in (
        "",
        "near-duplicate",
    )


def test_a_repair_does_not_bring_them_back(videos: Path, tmp_path: Path) -> None:
    build([videos], tmp_path, shard_bytes=10**9)
    dedup(tmp_path)
    [shard] = tmp_path.glob("*.tar")
    before = shard.read_bytes()
    shard.write_bytes(before[:2000] + b"x" + before[2001:])
    assert repair(tmp_path, [videos], shard_bytes=10**9).clean
    assert shard.read_bytes() == before


def test_samples_without_hashes_are_counted_and_kept(shards: Path) -> None:
    from unreel.shards.care.rewrite import rewrite

    rewrite(
        shards,
        lambda sidecar, _: msgspec.structs.replace(
            sidecar, facts=msgspec.structs.replace(sidecar.facts, hashes=b"")
        ),
    )
    found = dedup(shards)
    assert (found.samples, found.unmeasured, found.duplicates) == (6, 6, ())


def test_an_encoders_noise_is_no_evidence_at_one_place_of_two_files() -> None:
    noise = np.random.default_rng(5).random(10 * STEP_RATE).astype(np.float32)
    silent = np.zeros(0, np.float32)
    first, second = (Trace(noise, silent, quiet=True, start=start) for start in (0, 0))
    assert not agreement(first, second, 0, Likeness())
    assert agreement(first, msgspec.structs.replace(second, quiet=False), 0, Likeness())
    later = Trace(noise[50:], silent, quiet=True, start=0)
    assert agreement(later, first, 2, Likeness()), "a copy without its beginning has its rhythm elsewhere"
    cut = msgspec.structs.replace(later, start=50)
    assert not agreement(cut, first, 2, Likeness())
