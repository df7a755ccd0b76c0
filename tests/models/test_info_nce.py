"""InfoNCE against loops; the queue; keys of a slow encoder; ShuffleBN, and what batch norm tells without it."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from unreel.models.objectives import TimeContrast
from unreel.models.objectives.info_nce import ClipContrast, KeyQueue, info_nce, source_numbers
from unreel.models.objectives.peers import grouped, shuffled
from unreel.models.towers import Tower, build_tower
from unreel.pipelines.pretext import PretextBatch


def units(*shape: int, seed: int = 0) -> Tensor:
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_info_nce_is_the_published_formula() -> None:
    queries, keys = units(5, 4), units(7, 4, seed=1)
    own = torch.tensor([0, 6, 2, 3, 1])
    against = torch.rand(5, 7, generator=torch.Generator().manual_seed(2)) < 0.5
    losses = info_nce(queries, keys, own=own, against=against, temperature=0.3)
    for row in range(5):
        weight = [math.exp(float(queries[row] @ key) / 0.3) for key in keys]
        others = sum(weight[k] for k in range(7) if against[row, k] and k != own[row])
        positive = weight[int(own[row])]
        assert float(losses[row]) == pytest.approx(-math.log(positive / (positive + others)), abs=1e-5)


def test_negatives_are_named_moments_other_sources_and_the_queue() -> None:
    contrast = ClipContrast(4, temperature=0.5, queue=3)
    queries, keys = units(3, 2, 4), units(3, 4, 4, seed=1)
    positive = torch.tensor([[1, 3], [0, 2], [1, 0]])
    apart = torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(2)) < 0.5
    apart.scatter_(2, positive[:, :, None], False)
    # Rows 0 and 1 are of one source, row 2 of another; of the queue the first key is of row 2's source.
    sources, valid = torch.tensor([7, 7, 9]), torch.tensor([True, True, True])
    held = units(2, 4, seed=3)
    contrast.queue.push(held, torch.tensor([9, 5]))
    losses = contrast(queries, keys, positive=positive, apart=apart, sources=sources, valid=valid)
    for row in range(3):
        for anchor in range(2):
            negatives = [keys[row, moment] for moment in range(4) if apart[row, anchor, moment]]
            negatives += [key for other in range(3) if sources[other] != sources[row] for key in keys[other]]
            negatives += [held[place] for place, of in enumerate((9, 5)) if of != sources[row]]
            near = keys[row, positive[row, anchor]]
            logits = torch.stack([queries[row, anchor] @ key for key in (near, *negatives)]) / 0.5
            assert float(losses[row, anchor]) == pytest.approx(float(-logits.log_softmax(0)[0]), abs=1e-5)
    # Its three newest keys are the last ones of the batch.
    assert torch.allclose(contrast.queue.held()[0].sum(0), keys[2, 1:].sum(0), atol=1e-6)


def test_keys_of_failed_rows_stand_against_nothing_and_are_not_kept() -> None:
    queries, keys = units(3, 2, 4), units(3, 4, 4, seed=1)
    positive, apart = torch.ones(3, 2, dtype=torch.int64), torch.zeros(3, 2, 4, dtype=torch.bool)
    sources = torch.tensor([1, 2, 3])
    costs = []
    for scale in (1.0, 50.0):
        contrast = ClipContrast(4, temperature=0.5, queue=8)
        broken = keys.clone()
        broken[1] *= scale
        valid = torch.tensor([True, False, True])
        costs.append(
            contrast(queries, broken, positive=positive, apart=apart, sources=sources, valid=valid)[[0, 2]]
        )
        assert set(contrast.queue.held()[1].tolist()) == {1, 3}
    assert torch.equal(*costs)


@given(st.lists(st.integers(1, 7), max_size=8), st.integers(1, 6))
def test_the_queue_is_first_in_first_out(pushes: list[int], size: int) -> None:
    queue, kept, count = KeyQueue(size, 1), [], 0
    for length in pushes:
        numbers = torch.arange(count, count + length)
        queue.push(numbers[:, None].float(), numbers)
        kept, count = [*kept, *numbers.tolist()][-size:], count + length
    keys, sources = queue.held()
    assert sorted(sources.tolist()) == kept == sorted(int(key) for key in keys[:, 0])


def test_sources_have_numbers_of_their_own() -> None:
    numbers = source_numbers(["a", "", "b", "a"])
    assert numbers[1] == 0 and numbers[0] == numbers[3] != numbers[2]
    assert (numbers[[0, 2]] > 0).all()


def towers_of(norm: str = "batch") -> dict[str, Tower]:
    torch.manual_seed(0)
    return {"frame": build_tower("frame", "tiny", channels=(8, 16), embed_dim=32, norm=norm)}


@pytest.fixture
def batch(columns: Callable) -> PretextBatch:
    """Four pairs a row; a bright bar stands where its pair is in time, on a ground of the row's own."""
    generator = torch.Generator().manual_seed(0)
    frames = 0.3 * torch.randn(6, 8, 3, 32, 32, generator=generator)
    frames += torch.randn(6, 1, 3, 1, 1, generator=generator)
    for pair in range(4):
        frames[:, 2 * pair : 2 * pair + 2, :, :, 8 * pair : 8 * pair + 6] += 2
    apart = torch.arange(8)[None] // 2 != torch.arange(4)[:, None]
    targets = (2 * torch.arange(4) + 1).expand(6, 4).clone()
    inputs = {"frame": frames, "apart": apart.expand(6, 4, 8).clone()}
    return PretextBatch(inputs=inputs, targets=targets, **columns(0, 6))


VARIANTS = [
    ({}, 0.05),
    ({"queue": 64}, 0.05),
    ({"queue": 64, "momentum": 0.9}, 0.2),
    # Groups of few rows: their statistics differ from step to step.
    ({"queue": 64, "momentum": 0.9, "shuffle_groups": 2}, 0.6),
    ({"shuffle_groups": 3}, 0.2),
]
"""Settings, and how near to zero the loss comes."""


@pytest.mark.parametrize(("settings", "bar"), VARIANTS, ids=str)
def test_learns_a_batch_by_heart(settings: dict[str, float], bar: float, batch: PretextBatch) -> None:
    towers = towers_of()
    objective = TimeContrast(towers, loss="infonce", embed_dim=16, **settings)
    learned = [*towers["frame"].parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW([p for p in learned if p.requires_grad], lr=3e-3)
    first = float(objective(towers, batch).loss.detach())
    for _ in range(120):
        outcome = objective(towers, batch)
        if outcome.loss < bar:
            break
        optimiser.zero_grad()
        outcome.loss.backward()
        optimiser.step()
        objective.follow(towers)
    assert outcome.loss < bar < first / 5
    assert outcome.hits.min() == 1


def test_keys_follow_slowly_and_take_no_gradient(batch: PretextBatch) -> None:
    towers = towers_of()
    objective = TimeContrast(towers, loss="infonce", momentum=0.75)
    before = objective.projection.weight.detach().clone()
    with torch.no_grad():
        objective.projection.weight.add_(1)
    objective.follow(towers)
    key = objective.key.modules_by_name["projection"].weight
    assert torch.allclose(key, before + 0.25)
    objective(towers, batch).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in objective.key.parameters())
    assert objective.projection.weight.grad.abs().sum() > 0


def test_shuffled_rows_come_back_in_their_order_with_their_gradients() -> None:
    rows, weight = torch.randn(11, 5), torch.randn(5, 3, requires_grad=True)
    plain = rows @ weight
    mixed = shuffled(lambda part: part @ weight, rows, 4, salt=3)
    assert torch.allclose(mixed, plain, atol=1e-6)
    gradients = [torch.autograd.grad((said**2).sum(), weight)[0] for said in (plain, mixed)]
    assert torch.allclose(*gradients, atol=1e-5)


def test_evaluation_neither_shuffles_nor_looks_at_the_queue(batch: PretextBatch) -> None:
    towers = {"frame": towers_of()["frame"].eval()}
    torch.manual_seed(1)
    plain = TimeContrast(towers, loss="infonce").eval()
    torch.manual_seed(1)
    guarded = TimeContrast(towers, loss="infonce", queue=9, momentum=0.9, shuffle_groups=2).eval()
    guarded.contrast.queue.push(units(9, 32), torch.arange(9))
    assert torch.equal(plain(towers, batch).loss, guarded(towers, batch).loss)
    assert guarded.contrast.queue.held()[0].shape == (9, 32)


def told_by_statistics(keys_of: Callable[[Callable[[Tensor], Tensor], Tensor, int], Tensor]) -> float:
    """How often a query finds its key by batch norm alone: its key's group has its own group's statistics, or has not.

    All that is said of a row is what batch norm makes of a zero beside it, so that nothing of the row itself is told.
    """
    groups, rows, channels = 16, 16, 4
    norm, found = nn.BatchNorm1d(channels, affine=False, track_running_stats=False), []

    def encode(part: Tensor) -> Tensor:
        return functional.normalize(norm(torch.stack([part, torch.zeros_like(part)], dim=2))[:, :, 1])

    for trial in range(20):
        content = torch.randn(groups * rows, channels, generator=torch.Generator().manual_seed(trial))
        queries = grouped(encode, content, groups)
        # Keys show the group's rows in another order: the same statistics, and nothing of the query's own row.
        other = content.unflatten(0, (groups, rows)).roll(1, dims=1).flatten(0, 1)
        keys = keys_of(encode, other, groups).unflatten(0, (groups, rows))
        likeness = torch.einsum("grd,hrd->grh", queries.unflatten(0, (groups, rows)), keys)
        found.append((likeness.argmax(dim=2) == torch.arange(groups)[:, None]).float().mean())
    return float(torch.stack(found).mean())


def test_batch_norm_tells_the_key_without_shuffling_and_not_with_it() -> None:
    plain = told_by_statistics(lambda encode, rows, groups: grouped(encode, rows, groups))
    guarded = told_by_statistics(lambda encode, rows, groups: shuffled(encode, rows, groups, salt=1))
    assert plain > 0.99
    # One of sixteen by guessing; the key's row itself is a sixteenth of what its statistics are of.
    assert guarded < 0.13


def test_wrong_choices_are_told(batch: PretextBatch) -> None:
    towers = towers_of()
    with pytest.raises(ValueError, match="choose 'infonce'"):
        TimeContrast(towers, queue=8)
    with pytest.raises(ValueError, match=r"temperature 0\.0: has to be more than 0"):
        TimeContrast(towers, loss="infonce", temperature=0.0)
    with pytest.raises(ValueError, match="momentum 1"):
        TimeContrast(towers, loss="infonce", momentum=1)
    alone = TimeContrast(towers, loss="infonce", shuffle_groups=1)
    with pytest.raises(ValueError, match=r"shuffle_groups 1 on 1 ranks.*2 groups or more"):
        alone(towers, batch)


def test_unknown_sources_are_all_strangers(batch: PretextBatch) -> None:
    towers = towers_of("layer")
    objective = TimeContrast(towers, loss="infonce").eval()
    same, unknown, known = (
        objective(towers, replace(batch, sources=sources)).loss
        for sources in (("a",) * 6, ("",) * 6, tuple("abcdef"))
    )
    assert torch.equal(unknown, known) and same < known
