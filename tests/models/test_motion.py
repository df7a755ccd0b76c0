"""Motion encodings: what each says of a clip, and which of them an order can be read from."""

import pytest
import torch

from unreel.models.towers import build_tower
from unreel.models.towers.motion import MotionEncoding


def test_what_each_encoding_is() -> None:
    clip = torch.randn(2, 3, 4, 5, 5)
    a, b, c, d = clip.unbind(2)
    assert torch.equal(MotionEncoding("stack")(clip), torch.stack([b - a, c - b, d - c], dim=2))
    total = (b - a).abs() + (c - b).abs() + (d - c).abs()
    assert torch.allclose(MotionEncoding("sum")(clip)[:, :, 0], total, atol=1e-5)
    assert torch.allclose(MotionEncoding("dynamic")(clip)[:, :, 0], 3 * d + c - b - 3 * a, atol=1e-5)


@pytest.mark.parametrize("motion", ["stack", "sum", "dynamic"])
def test_what_stands_still_is_gone_and_an_order_is_seen(motion: str) -> None:
    encode, clip = MotionEncoding(motion), torch.randn(1, 3, 4, 5, 5)
    still = clip[:, :, :1].expand_as(clip)
    assert torch.allclose(encode(still), torch.zeros(()), atol=1e-5)
    assert torch.allclose(encode(clip + 3), encode(clip), atol=1e-4)
    assert not torch.allclose(encode(clip[:, :, [0, 2, 1, 3]]), encode(clip), atol=0.1)


@pytest.mark.parametrize("name", ["tiny", "r2plus1d_18"])
def test_a_tower_may_begin_with_it(name: str) -> None:
    for motion, frames in (("stack", 5), ("sum", 1), ("dynamic", 1)):
        tower = build_tower("video", name, motion=motion).eval()
        clip = torch.randn(1, 3, 6, 32, 32)
        with torch.no_grad():
            assert tower.map(clip, "motion").shape == (1, 3, frames, 32, 32)
            assert torch.allclose(tower(clip + 1), tower(clip), atol=1e-3)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="motion 'flow': choose one of none, stack, sum, dynamic"):
        build_tower("video", "tiny", motion="flow")
    with pytest.raises(ValueError, match="a clip of 1 frame has no motion"):
        MotionEncoding("stack")(torch.zeros(1, 3, 1, 8, 8))
