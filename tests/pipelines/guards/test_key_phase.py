"""Steps between key frames: which keep a place between them."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from unreel.pipelines.guards import whole_step
from unreel.shards.errors import PlanImpossible
from unreel.shards.sample import pack_column


@pytest.mark.parametrize("gop", [1, 2, 7, 12, 15, 16, 30])
def test_whole_steps_keep_the_phase(sidecar: Callable, gop: int) -> None:
    clip = sidecar(0, gop=gop)
    for least in range(50):
        step = whole_step(clip, least=least)
        assert step % gop == 0 and max(1, least) <= step < max(1, least) + gop


def test_one_key_frame_leaves_the_step_as_it_is(sidecar: Callable) -> None:
    assert whole_step(sidecar(0, gop=1000), least=5) == 5


def test_irregular_key_frames_are_refused(sidecar: Callable) -> None:
    clip = sidecar(0)
    key = pack_column("key", np.isin(np.arange(75), [0, 16, 26]))
    packets = msgspec.structs.replace(clip.video.packets, key=key)
    clip = msgspec.structs.replace(clip, video=msgspec.structs.replace(clip.video, packets=packets))
    with pytest.raises(PlanImpossible, match="clip-00000: key frames at distances from 10 to 16"):
        whole_step(clip, least=8)
