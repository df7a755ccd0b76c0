"""Where cells look: towers whose geometry is known, and one that is probed by what it answers to."""

import pytest
import torch

from unreel.models.towers import build_tower
from unreel.models.towers.field import field_shift


def test_stages_of_stride_two_look_half_a_cell_up_and_left():
    tower = build_tower("frame", "tiny", channels=(8, 12, 16))
    # Cell i looks at pixel 8 i, whose middle is 8 i + 0.5; an even split has it at 8 i + 4.
    assert field_shift(tower, (64, 64)) == pytest.approx((-3.5, -3.5), abs=1e-3)
    assert field_shift(tower, (64, 96), "conv1") == pytest.approx((-0.5, -0.5), abs=1e-6)


def test_pools_of_two_pixels_look_at_their_middle():
    down, right = field_shift(build_tower("frame", "l3_tiny"), (224, 224))
    assert abs(down) <= 0.6 and abs(right) <= 0.6, "a first stride of 2 moves it by half a pixel"


def test_patches_are_where_an_even_split_has_them():
    assert field_shift(build_tower("frame", "vit_tiny"), (224, 224)) == (0.0, 0.0)


def test_a_dot_moves_the_cell_that_the_shift_names():
    """Independent of the measure: over networks, the cell that answers most to a dot is where shift and stride say."""
    cell, changes = (3, 5), torch.zeros(8, 8)
    for seed in range(12):
        torch.manual_seed(seed)
        tower = build_tower("frame", "tiny", channels=(8, 12, 16), standardise=False).eval()
        down, right = field_shift(tower, (64, 64))
        y, x = (int((index + 0.5) * 8 + shift) for index, shift in zip(cell, (down, right), strict=True))
        picture = torch.zeros(1, 3, 64, 64)
        dot = picture.clone()
        dot[:, :, y - 1 : y + 2, x - 1 : x + 2] = 3
        with torch.no_grad():
            changes += (tower.map(dot) - tower.map(picture)).abs().sum(dim=1)[0]
    assert divmod(int(changes.argmax()), 8) == cell


def test_the_tower_itself_is_left_alone():
    tower = build_tower("frame", "tiny", channels=(8,))
    before = [parameter.clone() for parameter in tower.parameters()]
    field_shift(tower, (32, 32))
    assert all(torch.equal(*pair) for pair in zip(before, tower.parameters(), strict=True))


def test_only_frame_towers_are_measured():
    with pytest.raises(ValueError, match="a video tower: fields of cells are measured of frame towers"):
        field_shift(build_tower("video", "tiny", channels=(8,)), (32, 32))
