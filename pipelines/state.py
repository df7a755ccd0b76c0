"""What a loader's state must agree on with the loader that takes it."""

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from unreel.shards.errors import StateMismatch

__all__ = ["STATE_VERSION", "check_state", "settings_of"]

STATE_VERSION: Final = 1
"""Raised when the same numbers would mean another stream: order, draws, or what a position is.

`tests/golden/order` holds what each version draws; a change that breaks it raises this and adds a file there, and states
of older versions are refused by name: no run goes on with other samples in silence.
"""


def settings_of(value: object) -> Any:
    """The settings of a task as JSON takes them, nested dataclasses with their names: guards may have no field.

    Raises TypeError for a value that has no JSON form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: settings_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(name): settings_of(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [settings_of(item) for item in value]
    if isinstance(value, Fraction):
        return str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{value!r} of type {type(value).__name__} cannot be written into a state")


def check_state(state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Hold a state against the identity of the loader that should continue it.

    Raises:
        StateMismatch: names everything that differs, with both sides.
    """
    found = state.get("version")
    if found != STATE_VERSION:
        raise StateMismatch(f"state version {found!r}, this loader reads {STATE_VERSION}")
    missing = sorted({*identity, "step", "failures"} - set(state))
    if missing:
        raise StateMismatch(f"the state lacks {', '.join(missing)}; it is not the state of a loader")
    different = [name for name, value in identity.items() if state[name] != value]
    if different:
        sides = "; ".join(
            f"{name}: the state has {state[name]!r}, this loader {identity[name]!r}" for name in different
        )
        raise StateMismatch(f"the state belongs to another stream. {sides}")
