"""What a run's towers can do beyond their question, as figures beside controls and as a picture, one module a task."""

from collections.abc import Callable, Mapping
from typing import Final

from unreel.tools.abilities.ability import Ability, Examined
from unreel.tools.abilities.future import paint_futures
from unreel.tools.abilities.localisation import localise_sound
from unreel.tools.abilities.propagation import carry_masks

__all__ = ["ABILITIES", "Ability", "Examined"]

ABILITIES: Final[Mapping[str, Callable[[Examined], Ability | None]]] = {
    "colourisation": carry_masks,
    "future_frames": paint_futures,
    "correspondence": localise_sound,
}
"""Task → what `unreel eval` shows of a run beside its score; None where the data does not say what would be right."""
