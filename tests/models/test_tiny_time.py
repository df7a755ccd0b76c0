"""What the tiny tower of clips does with time: which stages halve it, and how many moments its embedding keeps."""

import pytest
import torch

from unreel.models.towers import build_tower

CLIP = torch.randn(2, 3, 12, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("halvings", "steps"), [(None, [6, 3]), (2, [6, 3]), (1, [12, 6]), (0, [12, 12])])
def test_the_last_stages_halve_time(halvings, steps):
    tower = build_tower("video", "tiny", channels=(8, 16), halvings=halvings)
    maps = {name: tower.map(CLIP, name).shape for name in tower.channels}
    assert [shape[2] for shape in maps.values()] == steps
    assert [tuple(shape[3:]) for shape in maps.values()] == [(16, 16), (8, 8)], (
        "space is halved by every stage"
    )
    assert [tower.stride[name] for name in maps] == [
        (12 // step, 2**number, 2**number) for number, step in enumerate(steps, start=1)
    ]


def test_more_halvings_than_stages_are_refused():
    with pytest.raises(ValueError, match="halvings 3 of 2 stages: choose 0 to 2"):
        build_tower("video", "tiny", channels=(8, 16), halvings=3)


def test_moments_keep_when_something_happened():
    """A flash and the same flash four frames later: one moment cannot tell them apart by more than the borders do."""
    early, late = (flash(at) for at in (3, 7))

    def apart(moments: int) -> float:
        torch.manual_seed(0)
        tower = build_tower(
            "video", "tiny", channels=(8, 16), halvings=0, moments=moments, embed_dim=0
        ).eval()
        with torch.no_grad():
            one, two = tower(early), tower(late)
        assert one.shape == (1, tower.embed_dim) == (1, 16 * 4 * moments)
        return float((one - two).norm() / one.norm())

    assert apart(1) < 1e-4
    assert apart(4) > 0.01


def flash(at: int) -> torch.Tensor:
    clip = torch.zeros(1, 3, 12, 32, 32)
    clip[:, :, at] = 1
    return clip
