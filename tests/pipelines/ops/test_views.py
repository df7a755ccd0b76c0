"""The whole way from decoded frames to a tower's input: what each field of `Views` does."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as vision

from unreel.pipelines.ops.colour import Colour
from unreel.pipelines.ops.normalise import STD, denormalise
from unreel.pipelines.ops.views import Views, render
from unreel.pipelines.ops.yuv import PlanarYuv, yuv_to_rgb


def views(rows: int, times: int, **changes: object) -> Views:
    rng = np.random.default_rng(rows)
    settings = {
        "top": rng.integers(0, 9, (rows, times)),
        "left": rng.integers(0, 9, (rows, times)),
        "crop": (24, 24),
        "size": (16, 16),
        "flip": np.arange(rows) % 2 == 0,
        "colour": Colour.unchanged(rows, times, brightness=rng.uniform(0.5, 1.5, (rows, times)).astype("f")),
    }
    return Views(**(settings | changes))


def frames(rows: int, times: int) -> torch.Tensor:
    return torch.randint(0, 256, (rows, times, 32, 32, 3), dtype=torch.uint8)


def test_contract_of_shapes_and_types() -> None:
    out = render(frames(4, 3), views(4, 3))
    assert out.shape == (4, 3, 3, 16, 16) and out.dtype == torch.float32 and out.is_contiguous()


def test_work_does_not_grow_with_the_batch_in_calls(calls: Callable[..., int]) -> None:
    few, many = (calls(render, frames(rows, 5), views(rows, 5)) for rows in (2, 16))
    assert few == many < 100


def test_decoded_frames_are_not_written_to() -> None:
    decoded = frames(2, 2)
    before = decoded.clone()
    whole = views(2, 2, crop=(32, 32), size=(32, 32), top=np.zeros((2, 2), int), left=np.zeros((2, 2), int))
    render(decoded, whole)
    assert torch.equal(decoded, before)


def test_a_row_does_not_depend_on_the_others() -> None:
    decoded, all_rows = frames(4, 3), views(4, 3)
    others = decoded.clone()
    others[[0, 1, 3]] = 0
    torch.testing.assert_close(render(decoded, all_rows)[2], render(others, all_rows)[2], atol=0, rtol=0)


def whole(rows: int, count: int, side: int = 32, **changes: object) -> Views:
    """Views of whole frames as they are."""
    nowhere = np.zeros((rows, count), np.int64)
    settings: dict[str, object] = {
        "top": nowhere,
        "left": nowhere,
        "crop": (side, side),
        "size": (side, side),
        "flip": np.zeros(rows, bool),
        "colour": Colour.unchanged(rows, count),
    }
    return views(rows, count, **(settings | changes))


def shown(pictures: torch.Tensor | PlanarYuv, chosen: Views) -> torch.Tensor:
    """Levels that a tower sees, uint8 `[B, V, h, w, 3]`."""
    return denormalise(render(pictures, chosen))


def test_views_choose_their_frames() -> None:
    decoded, frame = frames(3, 4), np.array([[0, 3, 3, 1, 0]] * 3)
    found = shown(decoded, whole(3, 5, frame=frame))
    assert torch.equal(found, decoded[:, [0, 3, 3, 1, 0]])


def test_tiles_of_one_frame_are_its_parts() -> None:
    decoded = frames(2, 1)
    place = np.arange(16)
    tiles = whole(2, 16, frame=np.zeros((2, 16), int), crop=(8, 8), size=(8, 8))
    tiles = replace(tiles, top=np.tile(place // 4 * 8, (2, 1)), left=np.tile(place % 4 * 8, (2, 1)))
    found = shown(decoded, tiles)
    expected = decoded[:, 0].unflatten(2, (4, 8)).unflatten(1, (4, 8)).transpose(2, 3).flatten(1, 2)
    assert torch.equal(found, expected)


def test_channels_are_cut_at_their_own_places() -> None:
    decoded = frames(1, 2)
    shift = np.zeros((1, 2, 3, 2), int)
    shift[0, 1] = [[-2, 1], [0, 0], [2, -1]]
    chosen = whole(1, 2, crop=(24, 24), size=(24, 24), channel_shift=shift)
    chosen = replace(chosen, top=chosen.top + 4, left=chosen.left + 4)
    found = shown(decoded, chosen)
    assert torch.equal(found[0, 0], decoded[0, 0, 4:28, 4:28])
    for channel, (down, right) in enumerate(shift[0, 1]):
        expected = decoded[0, 1, 4 + down : 28 + down, 4 + right : 28 + right, channel]
        assert torch.equal(found[0, 1, ..., channel], expected)


def test_a_channel_may_not_leave_the_frame() -> None:
    shift = np.zeros((1, 1, 3, 2), int)
    shift[0, 0, 2, 1] = 1
    with pytest.raises(ValueError, match="crop left 0 … 1 up to 33 leaves a frame of 32 pixels"):
        render(frames(1, 1), whole(1, 1, channel_shift=shift))


def test_turns_are_counter_clockwise_after_the_mirror() -> None:
    decoded = frames(2, 5)
    chosen = whole(2, 5, turn=np.array([[0, 1, 2, 3, 5], [3, 2, 1, 0, -1]]))
    found = shown(decoded, replace(chosen, flip=np.array([False, True])))
    for view, quarters in enumerate([0, 1, 2, 3, 5]):
        assert torch.equal(found[0, view], decoded[0, view].rot90(quarters))
    for view, quarters in enumerate([3, 2, 1, 0, -1]):
        assert torch.equal(found[1, view], decoded[1, view].flip(1).rot90(quarters))


def test_crops_of_several_sizes_are_resized_as_pillow_does() -> None:
    decoded = frames(1, 3)
    crops = np.array([[[32, 32], [20, 25], [9, 8]]])
    corners = np.array([[0, 5, 23]])
    chosen = whole(1, 3, size=(16, 16))
    found = shown(decoded, replace(chosen, crop=crops, top=corners, left=corners))
    for view, ((height, width), corner) in enumerate(zip(crops[0], corners[0], strict=True)):
        box = (corner, corner, corner + width, corner + height)
        picture = Image.fromarray(decoded[0, view].numpy()).crop(box)
        expected = picture.resize((16, 16), Image.Resampling.BILINEAR)
        assert np.abs(np.asarray(expected, int) - found[0, view].numpy()).max() <= 1


def test_equal_crops_by_array_are_those_by_pair() -> None:
    decoded, chosen = frames(3, 2), views(3, 2)
    by_array = replace(chosen, crop=np.full((3, 2, 2), 24))
    assert torch.equal(render(decoded, by_array), render(decoded, chosen))


def test_cuts_between_pixels_move_smoothly() -> None:
    """A slope of 4 levels a pixel, cut from 2.25 on: every value a level higher."""
    slope = torch.arange(32, dtype=torch.uint8).mul(4)[:, None].expand(1, 2, 32, 32, 3)
    left = np.array([[2.0, 2.25]], np.float32)
    chosen = whole(1, 2, crop=(16, 16), size=(16, 16))
    levels = shown(slope.transpose(2, 3), replace(chosen, left=left, top=left)).int()
    assert (levels[0, 1] - levels[0, 0])[1:-1, 1:-1].unique().tolist() == [1]


def test_blur_is_that_of_torchvision() -> None:
    decoded = frames(1, 2)
    found = render(decoded, whole(1, 2, blur=np.array([[0.0, 1.5]], np.float32)))
    plain = render(decoded, whole(1, 2))
    assert torch.equal(found[0, 0], plain[0, 0])
    expected = vision.gaussian_blur(plain[0, 1], [11, 11], [1.5, 1.5])
    torch.testing.assert_close(found[0, 1], expected, atol=2e-5, rtol=0)


def test_planes_give_the_same_views_as_their_rgb() -> None:
    luma = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    chroma = torch.randint(0, 256, (2, 3, 2, 16, 16), dtype=torch.uint8)
    planes = PlanarYuv(luma=luma, chroma=chroma, colours=("bt709", "smpte170m full"))
    assert torch.equal(render(planes, views(2, 3)), render(yuv_to_rgb(planes), views(2, 3)))


def test_layout_and_type_of_what_comes_out() -> None:
    decoded = frames(2, 3)
    plain = render(decoded, views(2, 3))
    across = render(decoded, views(2, 3, layout="CTHW", dtype=torch.bfloat16))
    assert across.shape == (2, 3, 3, 16, 16) and across.is_contiguous()
    assert torch.equal(across, plain.transpose(1, 2).to(torch.bfloat16))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame": np.full((2, 3), 3)}, r"views\.frame 3 … 3: there are 3 frames"),
        ({"turn": np.ones((2, 3), int), "size": (16, 8)}, "square size, found 16x8"),
        ({"blur": np.full((2, 3), 5.5, np.float32)}, r"blur 5\.5 … 5\.5"),
        ({"blur": np.zeros((2, 4), np.float32)}, r"views\.blur has shape \(2, 4\), expected \(2, 3\)"),
        ({"layout": "HWC"}, "allowed are TCHW, CTHW"),
        ({"clips": 2, "layout": "CTHW"}, "clips 2: 3 views in CTHW are not so many clips"),
        ({"clips": 3}, "clips 3: 3 views in TCHW are not so many clips"),
        ({"crop": np.zeros((2, 3, 2))}, "larger than nothing"),
        ({"top": np.full((2, 3), 9)}, "crop top 9 … 9 up to 33"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(frames(2, 3), views(2, 3, **changes))


def test_facts_name_what_was_decided() -> None:
    chosen = views(2, 3, turn=np.ones((2, 3), int), crop=np.full((2, 3, 2), 20))
    assert set(chosen.facts()) > {"crop_top", "crop_left", "flip", "turn", "crop_height", "crop_width", "hue"}
    assert not {"blur", "view_frame", "channel_shift"} & set(chosen.facts())


@pytest.mark.gpu
def test_device_gives_the_same_views_within_a_level() -> None:
    decoded, chosen = frames(4, 3), views(4, 3)
    found = render(decoded.cuda(), chosen).cpu()
    assert (found - render(decoded, chosen)).abs().max() < 1.6 / 255 / min(STD) * 1.5
