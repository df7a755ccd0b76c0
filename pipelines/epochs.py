"""A loader as other training loops want it: epochs of a known number of batches, for plain PyTorch and for Lightning."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from unreel.pipelines.loader import Loader
from unreel.pipelines.pretext.task import PretextBatch

if TYPE_CHECKING:
    from lightning import LightningDataModule

__all__ = ["Epochs", "lightning_data"]


class Epochs:
    """Batches of a loader, `steps` an epoch. Each iteration goes on where the last one stopped.

    With several tasks a batch is a dict of their batches by name.

    It has a state as the loader has: Lightning and torchdata save and restore it with their checkpoints, in the middle of an
    epoch too.

    Attributes:
        loader: where the batches come from.
    """

    def __init__(self, loader: Loader, steps: int | None = None) -> None:
        """`steps`: batches of an epoch; None: as many as hold each sample once, the last one filled up from the next epoch.

        Raises:
            ValueError: fewer than one step.
        """
        whole = -(-loader.samples // loader.batch_size)
        if steps is not None and steps < 1:
            raise ValueError(f"steps {steps}: at least 1 an epoch; None takes all {whole}")
        self.loader, self._steps = loader, steps or whole

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._steps

    def __iter__(self) -> Iterator[PretextBatch | dict[str, PretextBatch]]:
        """The rest of the epoch that the loader is in."""
        for _ in range(self._steps - self.loader.step % self._steps):
            step = next(self.loader)
            yield step.batch if len(step.batches) == 1 else dict(step.batches)

    def state_dict(self) -> dict[str, Any]:
        """The loader's state."""
        return self.loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken. Raises StateMismatch."""
        self.loader.load_state_dict(state)


def lightning_data(
    train: Loader, validation: Loader | None = None, *, steps: int | None = None
) -> "LightningDataModule":
    """A Lightning data module over loaders; needs `lightning`.

    Args:
        train: training batches; with several ranks, each has a loader of its own rank.
        validation: held-out batches; None validates nothing.
        steps: training batches of an epoch, see `Epochs`.
    """
    from lightning import LightningDataModule

    class LoaderData(LightningDataModule):
        """Hands out the loaders as they are: order, decoding and state are theirs."""

        def train_dataloader(self) -> Epochs:
            return Epochs(train, steps)

        def val_dataloader(self) -> Any:
            return [] if validation is None else Epochs(validation)

    return LoaderData()
