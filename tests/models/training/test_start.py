"""Towers that start from other weights: a run's, an exported tower's, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from unreel.models.export import save_tower
from unreel.models.training import RunConfig, RunFolder, Trainer, build_model, load_run
from unreel.models.training.config import TrainConfig, format_toml, parse_config
from unreel.models.training.environment import resolve
from unreel.models.training.model import only
from unreel.models.training.start import start_towers
from unreel.pipelines.pretext.task import Look

TOWER = {"name": "tiny", "channels": [8, 16], "embed_dim": 16, "grid": 2}


def config(*, channels: tuple[int, int] = (8, 16), steps: int = 2, **start: str) -> RunConfig:
    return RunConfig(
        task={"name": "shuffle_and_learn"},
        towers={"frame": {**TOWER, "channels": list(channels)}},
        objective={"head": "linear"},
        start=start,
        train=resolve(TrainConfig(steps=steps, batch_size=8, device="cpu")),
    )


@pytest.fixture
def train(memory_source: type, order_batch: Callable[..., Any], tmp_path: Path) -> Callable[..., RunFolder]:
    """Trains in a folder of this name."""

    class Source(memory_source):  # type: ignore[misc]
        def batches(self, step: int, /) -> dict[str, Any]:
            return {"shuffle_and_learn": order_batch(step)}

    def run(name: str, settings: RunConfig, *, resume: bool = False, **source: Any) -> RunFolder:
        folder = RunFolder(tmp_path / name)
        Trainer(settings, loader=Source(**source), validation=None, folder=folder).train(resume=resume)
        return folder

    return run


def test_a_tower_starts_with_the_weights_of_a_run_and_the_head_with_its_own(
    train: Callable[..., RunFolder],
) -> None:
    first = train("first", config())
    model, drawn = build_model(config()), build_model(config())
    start_towers(model, {"frame": str(first.path)})
    learned = load_run(first.path).towers["frame"].state_dict()
    assert all(
        torch.equal(value, learned[name]) for name, value in model.towers["frame"].state_dict().items()
    )
    head = drawn.objective.state_dict()
    assert all(torch.equal(value, head[name]) for name, value in model.objective.state_dict().items())
    assert not torch.equal(next(model.towers.parameters()), next(drawn.towers.parameters()))


def test_a_run_that_starts_there_learns_otherwise_and_keeps_the_setting(
    train: Callable[..., RunFolder],
) -> None:
    first = train("first", config())
    plain, started = train("plain", config(steps=1)), train("started", config(steps=1, frame=str(first.path)))
    weights = [load_run(run.path).towers["frame"].state_dict() for run in (plain, started)]
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert started.read_config().start == {"frame": str(first.path)}
    assert parse_config(format_toml(started.read_config())) == started.read_config()


def test_a_resumed_run_does_not_look_at_its_start_again(train: Callable[..., RunFolder]) -> None:
    first = train("first", config())
    settings = config(steps=4, frame=str(first.path))
    unbroken = train("unbroken", settings)
    saving = msgspec.structs.replace(
        settings, train=msgspec.structs.replace(settings.train, checkpoint_every=2)
    )
    with pytest.raises(KeyboardInterrupt):
        train("killed", saving, stop_at=3)
    shutil.rmtree(first.path)
    resumed = train("killed", saving, resume=True)
    weights = [load_run(run.path).towers["frame"].state_dict() for run in (unbroken, resumed)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_tower_starts_from_an_exported_one(train: Callable[..., RunFolder], tmp_path: Path) -> None:
    loaded = load_run(train("first", config()).path)
    look = Look(crop=112, size=64)
    save_tower(
        loaded.towers["frame"],
        tmp_path / "hub",
        recipe=loaded.recipe.towers["frame"],
        look=look,
        task="shuffle_and_learn",
        step=2,
        version="test",
    )
    model = build_model(config())
    start_towers(model, {"frame": str(tmp_path / "hub")})
    learned = loaded.towers["frame"].state_dict()
    assert all(
        torch.equal(value, learned[name]) for name, value in model.towers["frame"].state_dict().items()
    )


def test_what_does_not_fit_is_refused_before_training(
    train: Callable[..., RunFolder], tmp_path: Path
) -> None:
    first = train("first", config())
    with pytest.raises(ValueError, match=r"start\.frame: .* neither a run .* nor an exported tower"):
        start_towers(build_model(config()), {"frame": str(tmp_path / "nothing")})
    with pytest.raises(ValueError, match=r"start\.frame: the tower of .* has another form"):
        start_towers(build_model(config(channels=(8, 24))), {"frame": str(first.path)})
    with pytest.raises(ValueError, match=r"start\.audio: no such tower; there are frame"):
        config(audio=str(first.path))


def test_a_run_has_the_tower_that_is_asked_for(train: Callable[..., RunFolder]) -> None:
    first = train("first", config())
    sound = RunConfig(
        task={"name": "correspondence"},
        towers={"frame": TOWER, "audio": TOWER},
        start={"audio": str(first.path)},
        train=resolve(TrainConfig(steps=1, batch_size=8, device="cpu")),
    )
    with pytest.raises(ValueError, match=r"start\.audio: .* has no such tower, it has frame"):
        start_towers(build_model(sound), sound.start)


def test_of_several_tasks_one_alone_keeps_the_starts_of_its_towers() -> None:
    several = RunConfig(
        tasks={"order": {"name": "shuffle_and_learn"}, "sound": {"name": "correspondence"}},
        towers={"frame": TOWER, "audio": TOWER},
        start={"frame": "a", "audio": "b"},
        train=resolve(TrainConfig(steps=1, batch_size=8, device="cpu")),
    )
    assert only(several, ["order"]).start == {"frame": "a"}
