"""The cases of an audit: which artefact is shown of which task on which media, and how its guard is switched."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from unreel.pipelines.pretext import (
    ArrowOfTime,
    ClipOrder,
    Correspondence,
    Misalignment,
    OddOneOut,
    ShuffleAndLearn,
)
from unreel.pipelines.pretext.task import TrainableTask
from unreel.tools.audit.artefacts import (
    Artefact,
    border,
    clock,
    colours,
    facts,
    key_phases,
    loudness,
    motion,
    pair_facts,
    sharpness,
    tuple_facts,
    tuple_set,
    unrest,
)

__all__ = ["CASES", "UNASKED", "Case"]


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
        known: why this form cannot close the shortcut, where that is known: it is shown beside those that do, and being
            open is no failure.
    """

    guard: str
    threat: str
    artefact: str
    world: str
    task: TrainableTask
    off: dict[str, Any]
    show: Artefact
    known: str = ""

    @property
    def unguarded(self) -> TrainableTask:
        """The task with the guard off."""
        return replace(self.task, **self.off)  # type: ignore[type-var]


_ORDER: Final = ShuffleAndLearn(
    positive=0.5, window=112, crop=96, size=64, camera_shift=0, min_motion=0.0, min_difference=0.0
)
"""Half of the tuples in order, and only the guard of the case in play."""

_ARROW: Final = ArrowOfTime(window=112, crop=96, size=64, camera_shift=0, min_motion=0.0, blur=0.0)

_ODD: Final = OddOneOut(
    sequences=4,
    frames=5,
    gap_max_seconds=0.32,
    window=112,
    crop=96,
    size=64,
    min_motion=0.0,
    min_difference=0.0,
)

_SOUND: Final = Correspondence(window=112, crop=96, size=64, misalignment_seconds=0.0, min_sound=0.0)

_PAN: Final = motion("texture")
_PAN_AND_ZOOM: Final = motion("camera")

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
        artefact="pixels of a letterbox that a codec goes on refining",
        world="letterbox",
        task=replace(_ORDER, window=80, crop=80),
        off={"content_box": False},
        show=border(80),
    ),
    Case(
        guard="content_box",
        threat="D7",
        artefact="pixels of a letterbox that a codec goes on refining",
        world="letterbox",
        task=replace(_ARROW, window=80, crop=80),
        off={"content_box": False},
        show=border(80),
    ),
    *(
        Case(
            guard="camera_shift",
            threat="D8",
            artefact=f"motion of the scene under a slow pan; each frame moved by {shift} of {crop + shift} pixels{words}",
            world="texture",
            task=replace(_ORDER, window=crop + shift, crop=crop, camera_shift=shift, camera_path=path),
            off={"camera_shift": 0},
            show=_PAN,
            known=known,
        )
        for shift, crop, path, words, known in (
            (16, 96, "own", "", "the shift is about as long as the pan"),
            (48, 80, "whole", ", by whole ones", ""),
            (48, 80, "own", "", ""),
        )
    ),
    Case(
        guard="camera_shift",
        threat="D8",
        artefact="motion of the scene under a slow pan; a made-up steady pan of 48 of 128 pixels on top",
        world="texture",
        task=replace(_ORDER, window=128, crop=80, camera_shift=48, camera_path="steady"),
        off={"camera_shift": 0},
        show=_PAN,
        known="a smooth path is in order by itself",
    ),
    Case(
        guard="synthetic_camera",
        threat="D8",
        artefact="motion of the scene under pan and zoom; each frame moved by 48 of 128 pixels and shown up to 1.4 times as large",
        world="camera",
        task=replace(_ORDER, window=128, crop=80, camera_shift=48, camera_zoom=0.4),
        off={"camera_zoom": 0.0},
        show=_PAN_AND_ZOOM,
    ),
    *(
        Case(
            guard="stabilise",
            threat="D8",
            artefact=f"motion of the scene under {motions}; stabilised{words}",
            world=world,
            task=replace(_ORDER, window=128, stabilise=True, camera_shift=shift, camera_zoom=zoom),
            off={"stabilise": False},
            show=show,
            known=known,
        )
        for motions, world, show, words, shift, zoom, known in (
            ("a slow pan", "texture", _PAN, "", 0, 0.0, "a tenth of a pixel of drift is left"),
            ("a slow pan", "texture", _PAN, ", then each frame moved by 16 of 128 pixels", 16, 0.0, ""),
            (
                "pan and zoom",
                "camera",
                _PAN_AND_ZOOM,
                ", then each frame moved by 16 of 128 pixels and shown up to 1.15 times as large",
                16,
                0.15,
                "",
            ),
        )
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
        guard="partner_swap",
        threat="D10",
        artefact="the sound without its picture, in clips whose sound is off for a while",
        world="pauses",
        task=replace(_SOUND, min_sound=0.25),
        off={"partner_swap": False},
        show=loudness,
    ),
    Case(
        guard="frame_blur",
        threat="D12",
        artefact="sharpness of the frames of a still scene, which a codec goes on refining; blurs up to 1.5 pixels",
        world="still",
        task=replace(_ARROW, independent_jitter=False, blur=1.5),
        off={"blur": 0.0},
        show=sharpness,
        known="so small a blur leaves a little",
    ),
    Case(
        guard="frame_blur",
        threat="D12",
        artefact="sharpness of the frames of a still scene, which a codec goes on refining; blurs up to 2.5 pixels",
        world="still",
        task=replace(_ARROW, independent_jitter=False, blur=2.5),
        off={"blur": 0.0},
        show=sharpness,
    ),
    Case(
        guard="camera_shift",
        threat="D12",
        artefact="differences of frames in which nothing moves: a codec's noise",
        world="still",
        task=replace(_ODD, camera_shift=2),
        off={"camera_shift": 0},
        show=unrest,
    ),
    Case(
        guard="key_phase",
        threat="D12",
        artefact="frames from each clip's key frame to its start",
        world="objects",
        task=ClipOrder(frames=4, step_seconds=0.08, gap_seconds=0.16, size=32, blur=0.0, min_motion=0.0),
        off={"key_phase": False},
        show=key_phases(frames=4, gop=16),
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
        guard="overlay_mask",
        threat="D13",
        artefact="a clock in a corner, as the tower sees it",
        world="clock",
        task=replace(_ORDER, window=128, crop=128, flip=0.0, corner_mask=0.2),
        off={"corner_mask": 0.0, "overlay_mask": False},
        show=clock,
    ),
    Case(
        guard="equal_gaps",
        threat="D14",
        artefact="distances of neighbouring frames",
        world="objects",
        task=_ODD,
        off={"equal_gaps": False},
        show=facts("gaps"),
    ),
    Case(
        guard="shifted_sound",
        threat="D14",
        artefact="where both sounds of a row start",
        world="objects",
        task=Misalignment(
            seconds=0.4,
            frames=5,
            min_shift_seconds=0.4,
            max_shift_seconds=1.6,
            crop=96,
            size=32,
            min_sound=0.0,
        ),
        off={"both_ways": False},
        show=pair_facts("audio_start"),
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

_NO_CUE: Final = "leaves out samples that have no answer: nothing gives an answer away"
_BY_TEST: Final = "asked by a probe of made-up media in its test"

UNASKED: Final[Mapping[str, str]] = {
    "block_phase": f"{_BY_TEST}; `guards/block_phase.py` has figures of JPEG",
    "channel_shift": "no world has a lens with colour fringes: its test holds cuts of channels apart",
    "channel_split": _BY_TEST,
    "colour_spread": _NO_CUE,
    "luminance_only": "what the tower gets is equal to the bit whatever the colours are: nothing is left to ask",
    "motion_window": _NO_CUE,
    "moving_future": _NO_CUE,
    "quarter_turns": "there is no other way to turn: it cannot be switched off",
    "scene_cuts": "generated clips have no cuts: its tests hold windows against cuts",
    "silence": _NO_CUE,
    "similar_frames": _NO_CUE,
    "tile_contrast": "tiles have mean 0 and variance 1 to the last digits: nothing is left to ask",
    "tile_gap": "no world has lines that run on from tile to tile: its test holds gaps",
}
"""Guards without a case, and why."""
