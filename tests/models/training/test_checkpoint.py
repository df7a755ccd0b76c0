"""Checkpoints: what is in one, and that no damage to one is ever read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from unreel.models.training.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    prune,
    read_checkpoint,
    save_checkpoint,
    steps_saved,
)
from unreel.models.training.saver import Saver
from unreel.pipelines.errors import CheckpointError

FILES = ("model.safetensors", "average.safetensors", "optimizer.safetensors", "state.json", "manifest.json")


def checkpoint(step: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    weights = {"a.weight": torch.randn(3, 4, generator=generator), "a.count": torch.tensor(step)}
    last = torch.randn(2, 3, 4, 4, generator=generator).to(memory_format=torch.channels_last)
    return Checkpoint(
        step=step,
        model={**weights, "b.weight": last},
        optimiser={"a.weight/exp_avg": torch.randn(3, 4, generator=generator)},
        state=json.dumps({"step": step}).encode(),
        average={"a.weight": torch.randn(3, 4, generator=generator)},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with the generations of steps 10 and 20."""
    for step in (10, 20):
        save_checkpoint(tmp_path, checkpoint(step))
    return tmp_path


def test_reads_what_was_saved(saved: Path) -> None:
    read, damaged = newest_checkpoint(saved)
    written = checkpoint(20)
    assert read is not None
    assert damaged == []
    assert (read.step, read.state) == (20, written.state)
    for found, expected in (
        (read.model, written.model),
        (read.optimiser, written.optimiser),
        (read.average, written.average),
    ):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_every_file_is_safetensors_or_json(saved: Path) -> None:
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.name for path in files} == set(FILES)
    for path in files:
        if path.suffix == ".safetensors":
            header = int.from_bytes(path.read_bytes()[:8], "little")
            json.loads(path.read_bytes()[8 : 8 + header])
            safetensors.torch.load_file(path)
        else:
            json.loads(path.read_text(encoding="utf-8"))


def flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * (len(data) - 1))] ^= 1 << int(share * 7)
    path.write_bytes(data)


def truncate(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def remove(path: Path, share: float) -> None:
    path.unlink()


DAMAGES = [
    (harm, name, share)
    for name in FILES
    for harm, shares in ((flip, (0.0, 0.3, 0.55, 0.8, 1.0)), (truncate, (0.0, 0.5, 0.99)), (remove, (0.0,)))
    for share in shares
]


@pytest.mark.parametrize(("harm", "name", "share"), DAMAGES)
def test_damage_is_found_and_the_one_before_is_used(
    saved: Path, harm: Callable[[Path, float], None], name: str, share: float
) -> None:
    harm(saved / "step-00000020" / name, share)
    read, damaged = newest_checkpoint(saved)
    assert read is not None
    assert read.step == 10
    assert len(damaged) == 1
    assert name in str(damaged[0])


def test_a_generation_under_another_step_is_damaged(saved: Path) -> None:
    (saved / "step-00000020").rename(saved / "step-00000030")
    read, damaged = newest_checkpoint(saved)
    assert read is not None
    assert read.step == 10
    assert "step-00000030" in str(damaged[0])


def test_no_good_generation_is_an_error_and_none_at_all_is_not(saved: Path, tmp_path: Path) -> None:
    for path in saved.glob("step-*"):
        (path / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"no good checkpoint.*00000020.*00000010"):
        newest_checkpoint(saved)
    assert newest_checkpoint(tmp_path / "empty") == (None, [])


def test_a_draft_that_a_kill_left_is_never_read(saved: Path) -> None:
    shutil.copytree(saved / "step-00000020", saved / ".draft-step-00000030")
    assert steps_saved(saved) == [10, 20]
    save_checkpoint(saved, checkpoint(30))
    assert not list(saved.glob(".draft*"))
    assert read_checkpoint(saved / "step-00000030").step == 30


def test_saving_a_damaged_step_again_mends_it(saved: Path) -> None:
    flip(saved / "step-00000020" / "state.json", 0.5)
    save_checkpoint(saved, checkpoint(20))
    assert read_checkpoint(saved / "step-00000020").step == 20


def test_pruning_keeps_the_last_ones_and_only_after_the_newest_is_good(saved: Path) -> None:
    save_checkpoint(saved, checkpoint(30))
    prune(saved, keep=2, newest=30)
    assert steps_saved(saved) == [20, 30]
    flip(saved / "step-00000030" / "model.safetensors", 0.5)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        prune(saved, keep=1, newest=30)
    assert steps_saved(saved) == [20, 30]


def test_steps_that_are_marked_stay_for_good(tmp_path: Path) -> None:
    saver = Saver(tmp_path, keep=1, every=4)
    for step in range(1, 11):
        saver.save(checkpoint(step))
    saver.close()
    assert steps_saved(tmp_path) == [4, 8, 10]


def test_what_is_saved_is_what_was_there_when_saving_began(tmp_path: Path) -> None:
    changing = checkpoint(20)
    saver = Saver(tmp_path, keep=2)
    saver.save(changing)
    for tensor in (*changing.model.values(), *changing.optimiser.values(), *changing.average.values()):
        tensor.zero_()
    saver.close()
    read = read_checkpoint(tmp_path / "step-00000020")
    assert all(torch.equal(read.model[name], value) for name, value in checkpoint(20).model.items())
    assert all(torch.equal(read.average[name], value) for name, value in checkpoint(20).average.items())
    assert all(torch.equal(read.optimiser[name], value) for name, value in checkpoint(20).optimiser.items())


def test_a_save_that_failed_is_not_forgotten_and_old_generations_go(tmp_path: Path) -> None:
    saver = Saver(tmp_path / "run", keep=2)
    for step in (1, 2, 3):
        saver.save(checkpoint(step))
    saver.wait()
    assert steps_saved(tmp_path / "run") == [2, 3]
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").write_bytes(b"a file where the folder was")
    saver.save(checkpoint(4))
    with pytest.raises(OSError, match="run"):
        saver.save(checkpoint(5))
    saver.close()
