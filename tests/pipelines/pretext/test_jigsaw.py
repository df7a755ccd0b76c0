"""Jigsaw: the orders, what every order shows, and what each guard takes away."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unreel.pipelines.pretext import Jigsaw
from unreel.pipelines.pretext.permutations import far_orders
from unreel.shards.sample import Sidecar

SMALL = Jigsaw(permutations=12, window=64, crop=60, size=16, grey=0, channel_shift=1)
PLAIN = replace(SMALL, tile_gap=False, tile_contrast=False, channel_shift=0)


def hamming(orders: np.ndarray) -> np.ndarray:
    """Places in which two orders differ, for each pair."""
    pairs = (orders[:, None] != orders[None]).sum(2)
    return pairs[np.triu_indices(len(orders), 1)]


def test_orders_are_permutations_that_differ_more_than_chance() -> None:
    orders = far_orders(9, 100)
    assert (np.sort(orders, axis=1) == np.arange(9)).all()
    assert len(np.unique(orders, axis=0)) == 100
    random = np.argsort(np.random.default_rng(0).random((100, 9)), axis=1)
    assert hamming(orders).mean() > hamming(random).mean() and hamming(orders).min() >= 2
    assert hamming(far_orders(9, 9)).min() == 9, "nine orders can have no place in common"


def test_each_next_order_is_the_farthest_one_by_brute_force() -> None:
    orders = far_orders(4, 6)
    import itertools

    everything = np.array(list(itertools.permutations(range(4))))
    for count in range(1, 6):
        taken = orders[:count]
        distance = (everything[:, None] != taken[None]).sum(2).mean(1)
        fresh = [i for i, order in enumerate(everything) if not (taken == order).all(1).any()]
        best = distance[fresh].max()
        assert (orders[count] != taken).sum(1).mean() == best


def test_too_many_orders_are_refused() -> None:
    with pytest.raises(ValueError, match="permutations = 25: must lie between 2 and 24"):
        Jigsaw(grid=2, permutations=25)
    with pytest.raises(ValueError, match="2 tiles have 2 to 2"):
        far_orders(2, 3)


def numbered(sidecar: Sidecar, frames: np.ndarray) -> np.ndarray:
    """Every cell has a level of its own."""
    levels = np.arange(9).reshape(3, 3) * 25 + 20
    picture = np.zeros((64, 64), np.uint8)
    picture[2:62, 2:62] = np.repeat(np.repeat(levels, 20, 0), 20, 1)
    return np.repeat(np.repeat(picture[None, :, :, None], 3, 3), len(frames), 0)


def test_tiles_lie_in_the_order_of_the_label(batch_of: Callable, sidecar: Callable) -> None:
    task = replace(PLAIN, window=60, crop=60)
    cut = lambda side, frames: numbered(side, frames)[:, 2:62, 2:62]
    batch = batch_of(task, [sidecar(number) for number in range(30)], paint=cut)
    orders = far_orders(9, 12)[batch.targets.numpy()]
    assert (batch.facts["order"] == orders).all()
    shown = batch.inputs["frame"].mean((2, 3, 4)).numpy()
    assert (np.argsort(np.argsort(shown, axis=1), axis=1) == orders).all()


def test_labels_are_uniform_and_tiles_do_not_depend_on_them(batch_of: Callable, sidecar: Callable) -> None:
    batch = batch_of(SMALL, [sidecar(number % 40) for number in range(1200)])
    counts = np.bincount(batch.targets.numpy(), minlength=12)
    assert ((counts - 100) ** 2 / 100).sum() < 35, "chi-square of 11 degrees of freedom, p < 0.0003"
    # The same draws, another order: every cell shows the same cut.
    order = batch.facts["order"]
    tops = np.take_along_axis(batch.facts["crop_top"], np.argsort(order, axis=1), axis=1)
    assert abs(np.corrcoef(tops[:, 4], batch.targets.numpy())[0, 1]) < 0.1


def test_cuts_stay_in_their_cells_and_gaps_vary_unless_the_guard_is_off(
    batch_of: Callable, sidecar: Callable
) -> None:
    clips = [sidecar(number) for number in range(60)]
    spread = {}
    for guarded in (True, False):
        facts = batch_of(replace(SMALL, tile_gap=guarded), clips).facts
        order = np.argsort(facts["order"], axis=1)
        left = np.take_along_axis(facts["crop_left"], order, axis=1)
        gaps = left[:, 1] - left[:, 0] - 15
        assert (gaps >= 0).all() and (gaps <= 10).all()
        spread[guarded] = gaps.std()
    assert spread[True] > 1.5 and spread[False] == 0


def test_each_tile_is_normalised_unless_the_guard_is_off(batch_of: Callable, sidecar: Callable) -> None:
    clips = [sidecar(number) for number in range(4)]
    tiles = batch_of(SMALL, clips).inputs["frame"]
    assert tiles.mean((3, 4)).abs().max() < 1e-5
    assert torch.allclose(tiles.std((3, 4), correction=0), torch.ones(4, 9, 3), atol=1e-4)
    assert (
        batch_of(replace(SMALL, tile_contrast=False), clips).inputs["frame"].mean((3, 4)).abs().max() > 0.05
    )


def grey_noise(sidecar: Sidecar, frames: np.ndarray) -> np.ndarray:
    texture = np.random.default_rng(int(sidecar.source.id, 16)).integers(0, 256, (64, 64, 1), np.uint8)
    return np.repeat(np.repeat(texture, 3, 2)[None], len(frames), 0)


def test_channels_are_cut_apart_unless_the_guard_is_off(batch_of: Callable, sidecar: Callable) -> None:
    clips = [sidecar(number) for number in range(4)]
    for shift in (1, 0):
        task = replace(SMALL, channel_shift=shift, tile_contrast=True)
        tiles = batch_of(task, clips, paint=grey_noise).inputs["frame"]
        apart = (tiles[:, :, 0] - tiles[:, :, 2]).abs().amax((2, 3)) > 0.1
        assert apart.float().mean() > 0.7 if shift else not apart.any()


def test_equal_draws_give_equal_batches(batch_of: Callable, sidecar: Callable) -> None:
    clips = [sidecar(number) for number in range(4)]
    whole = batch_of(SMALL, clips, positions=[7, 9, 11, 13])
    alone = batch_of(SMALL, [clips[2]], positions=[11])
    assert torch.equal(whole.inputs["frame"][2], alone.inputs["frame"][0])
    assert whole.targets[2] == alone.targets[0]
