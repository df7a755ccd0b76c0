"""`docs/towers.md` lists every tower, with the figures that it has."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from unreel.models.towers import TOWERS, build_tower

PAGE = (Path(__file__).parents[2] / "docs" / "towers.md").read_text()
ALL = [(kind, name) for kind, names in TOWERS.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_row_of_a_tower_says_what_it_is(kind: str, name: str) -> None:
    assert row(kind, name) in PAGE


def test_no_tower_is_listed_that_is_not_there() -> None:
    listed = [
        line for line in PAGE.splitlines() if line.startswith(tuple(f"| {kind} | `" for kind in TOWERS))
    ]
    assert len(listed) == len(ALL)


def row(kind: str, name: str) -> str:
    """The begin of the tower's line: kind, name, input, embedding, parameters, those before it, multiply-adds."""
    with torch.device("meta"):
        tower = build_tower(kind, name).eval()
        parts = tuple(torch.empty(1, spec.channels, *spec.size) for spec in tower.inputs)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        tower(parts[0] if len(parts) == 1 else parts)
    size = " + ".join("x".join(str(n) for n in part.shape[1:]) for part in parts)
    total, embed = (sum(p.numel() for p in m.parameters()) for m in (tower, tower.stages["embed"]))
    numbers = (total / 1e6, (total - embed) / 1e6, counter.get_total_flops() / 2e9)
    return (
        f"| {kind} | `{name}` | {size} | {tower.embed_dim} | "
        + " | ".join(f"{n:.2f}" for n in numbers)
        + " |"
    )
