"""States: settings in JSON, and mismatches that name both sides."""

import json
from dataclasses import dataclass
from fractions import Fraction

import pytest

from unreel.pipelines.state import STATE_VERSION, check_state, settings_of
from unreel.shards.errors import StateMismatch

IDENTITY = {"version": STATE_VERSION, "seed": 1, "task": {"name": "t"}}
STATE = {**IDENTITY, "step": 4, "failures": {}}


@dataclass(frozen=True)
class Still:
    pass


@dataclass(frozen=True)
class Moving:
    pass


@dataclass(frozen=True)
class Task:
    step: Fraction = Fraction(1, 5)
    guards: tuple[object, ...] = (Still(),)
    sizes: tuple[int, int] = (3, 4)
    weights: object = None


def test_settings_are_what_json_gives_back() -> None:
    settings = settings_of(Task(weights={1: 0.5}))
    assert json.loads(json.dumps(settings)) == settings
    assert settings == {
        "type": "Task",
        "step": "1/5",
        "guards": [{"type": "Still"}],
        "sizes": [3, 4],
        "weights": {"1": 0.5},
    }


def test_guards_without_fields_are_told_apart() -> None:
    assert settings_of(Task()) != settings_of(Task(guards=(Moving(),)))


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot be written into a state"):
        settings_of(Task(weights=object()))


def test_equal_sides_pass() -> None:
    check_state(json.loads(json.dumps(STATE)), IDENTITY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "state version 2, this loader reads 1"),
        ({"version": None}, "state version None"),
        ({"seed": 7}, "seed: the state has 7, this loader 1"),
        (
            {"seed": 7, "task": {"name": "u"}},
            "seed: .*; task: the state has {'name': 'u'}, this loader {'name': 't'}",
        ),
    ],
)
def test_every_difference_is_named_with_both_sides(change: dict[str, object], message: str) -> None:
    with pytest.raises(StateMismatch, match=message):
        check_state({**STATE, **change}, IDENTITY)


@pytest.mark.parametrize("gone", ["step", "failures", "seed"])
def test_incomplete_states_are_refused(gone: str) -> None:
    state = {name: value for name, value in STATE.items() if name != gone}
    with pytest.raises(StateMismatch, match=f"the state lacks {gone}"):
        check_state(state, IDENTITY)
