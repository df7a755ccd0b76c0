"""Towers that stand on another one: they see what it sees, train its weights, and save none of them twice."""

import pytest
import torch

from unreel.models.towers import STANDING, StandingTower, Tower, build_tower, trunk_of

SMALL = {"channels": (8, 16), "embed_dim": 8, "norm": "group"}


def pair(kind: str) -> tuple[Tower, Tower]:
    """A tower of `kind` and the one that it stands on."""
    ((name, (below, _)),) = STANDING[kind].items()
    torch.manual_seed(0)
    trunk = build_tower(below, "tiny", **SMALL)
    return build_tower(kind, name, trunk), trunk


def test_a_clip_is_seen_frame_by_frame() -> None:
    tower, trunk = pair("video")
    clips = torch.randn(2, 3, 6, 32, 32)
    maps, frames = tower.map(clips), trunk.map(clips.transpose(1, 2).flatten(0, 1))
    assert maps.shape == (2, 16, 6, 8, 8) and tower.stride["conv2"] == (1, 4, 4)
    torch.testing.assert_close(maps[1, :, 4], frames[6 + 4])
    assert list(tower.activations(clips))[-1] == "embed"
    assert tower.eval()(clips).shape == (2, tower.embed_dim)
    # When something happens is told, and clips of other lengths are taken.
    assert not torch.allclose(tower(clips), tower(clips.flip(2)))
    assert tower(clips[:, :, :4]).shape == (2, tower.embed_dim)


def test_a_still_is_a_clip_of_one_frame() -> None:
    tower, trunk = pair("frame")
    pictures = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(tower(pictures), trunk(pictures[:, :, None]))
    assert tower.map(pictures).shape == (2, 16, 8, 8) and tower.stride["conv2"] == (4, 4)
    with pytest.raises(ValueError, match="frame input"):
        tower(pictures[:, :, None])


@pytest.mark.parametrize("kind", STANDING)
def test_the_trunk_learns_and_is_saved_under_its_own_name_alone(kind: str) -> None:
    tower, trunk = pair(kind)
    both = torch.nn.ModuleDict({"trunk_of_it": trunk, "standing": tower})
    rows = torch.randn(2, 3, 32, 32)
    torch.autograd.backward(tower(rows if kind == "frame" else rows[:, :, None]).sum())
    assert all(weight.grad is not None for weight in both.parameters())
    state = both.state_dict()
    assert not [name for name in state if ".trunk." in name]
    assert {id(value) for value in trunk.parameters()} <= {id(value) for value in both.parameters()}
    other = torch.nn.ModuleDict(dict(zip(("standing", "trunk_of_it"), pair(kind), strict=True)))
    state = {name: value + 1 for name, value in state.items()}
    other.load_state_dict(state)
    assert all(torch.equal(state[name], value) for name, value in other.state_dict().items())
    with pytest.raises(RuntimeError, match="trunk_of_it"):
        other.load_state_dict({name: value for name, value in state.items() if "trunk_of_it" not in name})


def test_what_it_cannot_stand_on_is_named() -> None:
    assert trunk_of("video", "frame_by_frame") == "frame" and trunk_of("video", "tiny") == ""
    assert isinstance(pair("video")[0], StandingTower)
    audio = build_tower("audio", "tiny")
    for kind, names in STANDING.items():
        for name in names:
            with pytest.raises(ValueError, match="the trunk is of kind 'audio'"):
                build_tower(kind, name, audio)
    clips = build_tower("video", "vit_tiny")
    with pytest.raises(ValueError, match="stills: the trunk takes clips of 2 frames or more"):
        build_tower("frame", "stills", clips)
    with pytest.raises(ValueError, match="video tower 'frames': choose one of frame_by_frame, mc3_18"):
        build_tower("video", "frames")
