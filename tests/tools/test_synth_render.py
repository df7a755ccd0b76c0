"""What is drawn: labels agree with pixels, the twin is still, and each nuisance changes what it names."""

import msgspec
import numpy as np
import pytest

from unreel.tools.synth.laws import LAWS
from unreel.tools.synth.look import SHAPES, TEXTURES
from unreel.tools.synth.nuisances import Nuisances, clock_box
from unreel.tools.synth.render import render
from unreel.tools.synth.world import World, clip_of, tracks
from unreel.tools.synth.write import sound_of

WORLD = World(seed=5, clips=36, frames=30, rate=10, width=80, height=64)


def frames_of(world: World, index: int) -> np.ndarray:
    return render(world, clip_of(world, index)).astype(np.float32)


def twin(world: World) -> World:
    return msgspec.structs.replace(world, objects=False)


def with_nuisance(**switches: object) -> World:
    return msgspec.structs.replace(WORLD, nuisances=Nuisances(**switches))


def assert_centred(world: World, index: int, *, tolerance: float) -> None:
    clip = clip_of(world, index)
    drawn = np.abs(frames_of(world, index) - frames_of(twin(world), index)).max(axis=-1) > 12
    shown = tracks(world, clip)
    rows, columns = np.mgrid[: world.height, : world.width] + 0.5
    area = drawn.sum(axis=(1, 2))
    x = (drawn * columns).sum(axis=(1, 2)) / area / world.width
    y = 1 - (drawn * rows).sum(axis=(1, 2)) / area / world.height
    assert np.abs(x - shown["x"]).max() * world.width < tolerance
    assert np.abs(y - shown["y"]).max() * world.height < tolerance
    assert 0.1 * shown["size"].min() ** 2 < area.min() / world.height**2
    assert area.max() / world.height**2 < 1.1 * shown["size"].max() ** 2


@pytest.mark.parametrize("index", range(18))
def test_labels_are_where_the_object_is(index: int) -> None:
    assert_centred(WORLD, index, tolerance=1.5)


def test_all_laws_and_shapes_were_checked() -> None:
    clips = [clip_of(WORLD, index) for index in range(18)]
    assert {clip.law for clip in clips} == set(LAWS) and {clip.shape for clip in clips} == set(SHAPES)


@pytest.mark.parametrize("index", range(6))
def test_the_twin_is_a_still_picture_and_equal_where_no_object_is(index: int) -> None:
    with_object, without = frames_of(WORLD, index), frames_of(twin(WORLD), index)
    assert (without == without[0]).all()
    shown = tracks(WORLD, clip_of(WORLD, index))
    rows, columns = np.mgrid[: WORLD.height, : WORLD.width] + 0.5
    far = (
        np.hypot(
            columns - (shown["x"] * WORLD.width)[:, None, None],
            rows - ((1 - shown["y"]) * WORLD.height)[:, None, None],
        )
        > (shown["size"] * WORLD.height)[:, None, None]
    )
    assert far.any() and (with_object[far] == without[far]).all()


def test_twin_has_the_same_labels_and_sound() -> None:
    for index in range(3):
        clip, other = clip_of(WORLD, index), clip_of(twin(WORLD), index)
        assert clip.motion.events == other.motion.events
        assert np.array_equal(tracks(WORLD, clip)["x"], tracks(twin(WORLD), other)["x"])
        assert (clip.law, clip.shape, clip.sound_class) == (other.law, other.shape, other.sound_class)
        assert np.array_equal(sound_of(WORLD, clip), sound_of(twin(WORLD), other))


def test_objects_stand_out_in_grey() -> None:
    contrasts = []
    for index in range(18):
        lit, unlit = frames_of(WORLD, index).mean(axis=-1), frames_of(twin(WORLD), index).mean(axis=-1)
        where = np.abs(lit - unlit) > 3
        contrasts.append(np.abs(lit - unlit)[where].mean() / unlit.std(axis=(1, 2)).mean())
    assert min(contrasts) > 1.2


def test_backgrounds_are_dim_and_differ() -> None:
    pictures = np.stack([frames_of(twin(WORLD), index)[0] for index in range(12)])
    assert pictures.mean() < 110 and pictures.max() < 160
    distances = np.abs(pictures[:, None] - pictures[None]).mean(axis=(2, 3, 4))
    assert distances[~np.eye(12, dtype=bool)].min() > 4


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_about_the_area_of_the_disc_and_their_centre_at_the_origin(shape: str) -> None:
    v, u = np.mgrid[-1.6:1.6:321j, -1.6:1.6:321j].astype(np.float32)
    inside = SHAPES[shape](u, v) < 0
    assert 1.5 < inside.sum() * 0.01**2 < 3.5
    assert abs(u[inside].mean()) < 0.02 and abs(v[inside].mean()) < 0.02


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_show_both_colours(texture: str) -> None:
    v, u = np.mgrid[-1:1:81j, -1:1:81j].astype(np.float32)
    share = np.clip(TEXTURES[texture](u, v), 0, 1)
    assert (share < 0.25).mean() > 0.1 and (share > 0.75).mean() > 0.1


def test_camera_moves_the_whole_scene_and_its_labels() -> None:
    world = with_nuisance(camera=True)
    empty = frames_of(twin(world), 0)
    assert np.abs(empty[-1] - empty[0]).mean() > 2
    moved, still = tracks(world, clip_of(world, 0)), tracks(WORLD, clip_of(WORLD, 0))
    assert np.abs(moved["x"] - still["x"]).max() > 0.01 and (moved["size"] < still["size"]).all()
    for index in range(6):
        assert_centred(world, index, tolerance=2.0)


def test_moving_background_leaves_the_object_alone() -> None:
    world = with_nuisance(moving_background=True)
    empty = frames_of(twin(world), 0)
    assert np.abs(empty[-1] - empty[0]).mean() > 2
    assert np.array_equal(empty[0], frames_of(twin(WORLD), 0)[0])
    assert_centred(world, 0, tolerance=1.5)


def test_letterbox_blackens_two_opposite_sides() -> None:
    for index in range(6):
        clean, boxed = frames_of(WORLD, index), frames_of(with_nuisance(letterbox=True), index)
        dark = (boxed == 0).all(axis=(0, 3))
        inside = np.ix_(~dark.all(axis=1), ~dark.all(axis=0))
        kept = [boxed[:, *inside], clean[:, *inside]]
        assert np.array_equal(*kept)
        assert 0.08 < dark.mean() < 0.32 and (dark[0] & dark[-1]).all() != (dark[:, 0] & dark[:, -1]).all()


def test_noise_is_in_picture_and_sound() -> None:
    world = with_nuisance(noise=True)
    added = frames_of(world, 0) - frames_of(WORLD, 0)
    assert 4 < added.std() < 7 and abs(added.mean()) < 1
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.1
    hiss = sound_of(world, clip_of(world, 0)) - sound_of(WORLD, clip_of(WORLD, 0))
    assert 0.015 < hiss.std() < 0.025


def test_logo_is_one_still_mark_in_a_corner() -> None:
    corners = set()
    for index in range(12):
        changed = (
            np.abs(frames_of(with_nuisance(logo=True), index) - frames_of(WORLD, index)).max(axis=(0, 3)) > 0
        )
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert np.ptp(rows) < WORLD.height / 6 and np.ptp(columns) < WORLD.height / 6
        corners.add((rows[0] < WORLD.height / 2, columns[0] < WORLD.width / 2))
    assert len(corners) > 2


def test_specks_lie_still_in_the_bars_and_nowhere_else() -> None:
    for index in range(4):
        plain, worn = (
            frames_of(with_nuisance(letterbox=True, specks=specks), index) for specks in (False, True)
        )
        changed = worn != plain
        assert changed.any() and (plain[changed] == 0).all() and (changed == changed[:1]).all()
        assert 8 < worn[changed].min() and worn[changed].max() <= 22


def test_a_clock_runs_in_a_corner() -> None:
    world = with_nuisance(clock=True)
    for index in range(4):
        top, left, side = clock_box(clip_of(world, index).dice, world.height, world.width)
        changed = (frames_of(world, index) != frames_of(WORLD, index)).any(axis=(0, 3))
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert top <= rows[0] and rows[-1] < top + side and left <= columns[0] and columns[-1] < left + side
        face = frames_of(twin(world), index)[:, top : top + side, left : left + side].mean(axis=3)
        assert np.abs(face[0] - face[world.rate]).max() > 100, "a third of the way round"


def test_brightness_drifts_one_way() -> None:
    for index in range(4):
        means = frames_of(twin(with_nuisance(brightness_drift=True)), index).mean(axis=(1, 2, 3))
        steps = np.diff(means)
        assert (steps > 0).all() or (steps < 0).all()
        assert abs(means[-1] / means[0] - 1) > 0.15


@pytest.mark.parametrize(
    "switch", ["camera", "moving_background", "letterbox", "logo", "clock", "brightness_drift"]
)
def test_picture_nuisances_leave_the_sound_alone(switch: str) -> None:
    world = with_nuisance(**{switch: True})
    assert np.array_equal(sound_of(world, clip_of(world, 1)), sound_of(WORLD, clip_of(WORLD, 1)))


def test_audio_offset_shifts_the_sound_only() -> None:
    clip, rate = clip_of(WORLD, 1), WORLD.audio_rate
    clean = sound_of(WORLD, clip)
    late, early = (sound_of(with_nuisance(audio_offset=offset), clip) for offset in (0.5, -0.25))
    assert np.array_equal(late[rate // 2 :], clean[: -rate // 2]) and not late[: rate // 2].any()
    assert np.array_equal(early[: -rate // 4], clean[rate // 4 :]) and not early[-rate // 4 :].any()
    assert np.array_equal(frames_of(with_nuisance(audio_offset=0.5), 1), frames_of(WORLD, 1))


def test_a_pause_is_one_stretch_of_a_third_to_a_half() -> None:
    for index in range(4):
        clip = clip_of(WORLD, index)
        clean, paused = sound_of(WORLD, clip), sound_of(with_nuisance(pauses=True), clip)
        changed = np.flatnonzero(clean != paused)
        stretch = slice(changed[0], changed[-1] + 1)
        assert not paused[stretch].any() and 0.3 < len(paused[stretch]) / len(paused) <= 0.51
