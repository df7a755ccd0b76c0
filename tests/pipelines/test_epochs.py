"""Epochs for other loops: their length, their state, and a real Lightning trainer."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from unreel.pipelines.epochs import Epochs, lightning_data
from unreel.pipelines.loader import Loader
from unreel.shards.catalogue import Catalogue


@pytest.fixture
def loader(tiny_catalogue: Catalogue, toy_task: Any, toy_backend: Any) -> Any:
    made = []

    def make() -> Loader:
        made.append(
            Loader(tiny_catalogue, toy_task(), batch_size=8, seed=3, split=None, backend=toy_backend())
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_epoch_holds_every_sample(loader: Any, tiny_catalogue: Catalogue) -> None:
    epochs = Epochs(loader())
    keys = [key for batch in epochs for key in batch.keys]
    assert len(epochs) == 5 and len(keys) == 40
    assert len(set(keys)) == len(tiny_catalogue) == 36


def test_iterating_goes_on_and_a_state_is_taken_up_in_the_middle(loader: Any) -> None:
    whole, broken, later = Epochs(loader(), 3), Epochs(loader(), 3), Epochs(loader(), 3)
    expected = [batch.keys for _ in range(2) for batch in whole]
    found = [batch.keys for _, batch in zip(range(2), broken, strict=False)]
    later.load_state_dict(broken.state_dict())
    found += [batch.keys for _ in range(2) for batch in later]
    assert len(expected) == 6 and found == expected


def test_an_epoch_without_a_step_is_refused(loader: Any) -> None:
    with pytest.raises(ValueError, match="steps 0"):
        Epochs(loader(), 0)


def test_a_lightning_trainer_learns_from_it(loader: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lightning = pytest.importorskip("lightning")
        seen = []

        class Model(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.layer = torch.nn.Linear(1, 2)

            def training_step(self, batch: Any, _index: int) -> Any:
                seen.append(batch.keys)
                logits = self.layer(batch.inputs["mean"].float()[:, None] / 255)
                return torch.nn.functional.cross_entropy(logits, batch.targets)

            def configure_optimizers(self) -> Any:
                return torch.optim.SGD(self.parameters(), lr=0.1)

        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(Model(), datamodule=lightning_data(loader(), steps=2))
    expected = loader()
    assert seen == [expected.batch(step).keys for step in range(4)]


def test_lightning_moves_the_batches_of_several_tasks(
    tiny_catalogue: Catalogue, toy_task: Any, toy_backend: Any
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        utilities = pytest.importorskip("lightning.fabric.utilities")
    tasks = {"one": toy_task(), "other": toy_task()}
    with Loader(tiny_catalogue, tasks, batch_size=8, seed=3, split=None, backend=toy_backend()) as loader:
        batch = next(iter(Epochs(loader)))
    moved = utilities.move_data_to_device(batch, torch.device("meta"))
    assert list(moved) == ["one", "other"]
    assert all(part.inputs["mean"].is_meta and part.keys == batch[name].keys for name, part in moved.items())
