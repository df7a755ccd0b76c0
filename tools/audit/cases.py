"""The cases of an audit: which artefact is shown of which task on which media, and how its guard is switched."""

from dataclasses import dataclass, replace
from typing import Any, Final

from unreel.pipelines.pretext import Correspondence, ShuffleAndLearn
from unreel.pipelines.pretext.task import TrainableTask
from unreel.tools.audit.artefacts import Artefact, border, colours, facts, motion, tuple_facts, tuple_set

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One artefact, with one guard on and off and nothing else changed.

    Attributes:
        guard: name in `GUARDS`.
        threat: its number in the list of threats.
        artefact: in words.
        world: name in `WORLDS` of the media that carry the artefact.
        task: with the guard on.
        off: the fields that switch the guard off.
        show: what the probe sees.
    """

    guard: str
    threat: str
    artefact: str
    world: str
    task: TrainableTask
    off: dict[str, Any]
    show: Artefact

    @property
    def unguarded(self) -> TrainableTask:
        """The task with the guard off."""
        return replace(self.task, **self.off)  # type: ignore[type-var]


_ORDER: Final = ShuffleAndLearn(
    positive=0.5, window=112, crop=96, size=64, camera_shift=0, min_motion=0.0, min_difference=0.0
)
"""Half of the tuples in order, and only the guard of the case in play."""

_SOUND: Final = Correspondence(window=112, crop=96, size=64, misalignment_seconds=0.0, min_sound=0.0)

CASES: Final = (
    Case(
        guard="colour_jitter",
        threat="D6",
        artefact="colours of a still scene under changing exposure",
        world="drift",
        task=_ORDER,
        off={"independent_jitter": False},
        show=colours,
    ),
    Case(
        guard="colour_jitter",
        threat="D6",
        artefact="colours at the same places of a moving texture",
        world="texture",
        task=_ORDER,
        off={"independent_jitter": False},
        show=colours,
    ),
    Case(
        guard="content_box",
        threat="D7",
        artefact="pixels of the letterbox",
        world="letterbox",
        task=replace(_ORDER, window=80, crop=80),
        off={"content_box": False},
        show=border(80),
    ),
    Case(
        guard="camera_shift",
        threat="D8",
        artefact="motion of the scene under a slow pan; each frame moved by 16 of 112 pixels",
        world="texture",
        task=replace(_ORDER, camera_shift=16),
        off={"camera_shift": 0},
        show=motion("texture"),
    ),
    Case(
        guard="camera_shift",
        threat="D8",
        artefact="motion of the scene under a slow pan; each frame moved by 48 of 128 pixels",
        world="texture",
        task=replace(_ORDER, window=128, crop=80, camera_shift=48),
        off={"camera_shift": 0},
        show=motion("texture"),
    ),
    Case(
        guard="stabilise",
        threat="D8",
        artefact="motion of the scene under a slow pan; stabilised",
        world="texture",
        task=replace(_ORDER, window=128, stabilise=True),
        off={"stabilise": False},
        show=motion("texture"),
    ),
    Case(
        guard="stabilise",
        threat="D8",
        artefact="motion of the scene under a slow pan; stabilised, then each frame moved by 8 pixels",
        world="texture",
        task=replace(_ORDER, window=128, camera_shift=8, stabilise=True),
        off={"stabilise": False},
        show=motion("texture"),
    ),
    Case(
        guard="stabilise",
        threat="D8",
        artefact="motion of the scene under pan and zoom; stabilised, then each frame moved by 8 pixels",
        world="camera",
        task=replace(_ORDER, window=128, camera_shift=8, stabilise=True),
        off={"stabilise": False},
        show=motion("camera"),
    ),
    Case(
        guard="audio_phase",
        threat="D9",
        artefact="start of the sound on the frame grid; all starts on it",
        world="objects",
        task=_SOUND,
        off={"audio_grid": False},
        show=facts("audio_phase"),
    ),
    Case(
        guard="audio_phase",
        threat="D9",
        artefact="start of the sound on the frame grid; both classes moved at random",
        world="objects",
        task=replace(_SOUND, audio_grid=False, misalignment_seconds=1.0),
        off={"misalignment_seconds": 0.0},
        show=facts("audio_phase"),
    ),
    Case(
        guard="gop_phase",
        threat="D12",
        artefact="frames from each frame's key frame to it",
        world="objects",
        task=replace(_ORDER, gop_phase=True),
        off={"gop_phase": False},
        show=tuple_facts("key_distance"),
    ),
    Case(
        guard="same_times",
        threat="D14",
        artefact="the times of a tuple and their gaps, sorted",
        world="objects",
        task=replace(_ORDER, same_times=True),
        off={"same_times": False},
        show=tuple_set("seconds"),
    ),
)
"""In the order of the threats."""
