"""What tasks of pictures state alike: how their common guards stand, in words, and which values their fields may have."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from unreel.pipelines.pretext.checks import check_range

__all__ = ["check_pictures", "guard_words"]

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    **dict.fromkeys(("flip", "brightness", "contrast", "saturation", "grey", "shift"), (0, 1)),
    "hue": (0, 0.5),
    "window": (16, 4096),
    "size": (16, 4096),
    "blur": (0, 5),
    "corner_mask": (0, 0.5),
    "min_motion": (0, 255),
    "min_difference": (0, 255**2),
}


def check_pictures(task: Any) -> None:
    """Raise ValueError unless the fields of `task` that have one of the usual names lie in their usual ranges."""
    names = {field.name for field in fields(task)}
    for name, (low, high) in _RANGES.items():
        if name in names:
            check_range(task, low, high, name)
    check_range(task, 16, task.window, "crop")
    if "camera_shift" in names and not 0 <= task.camera_shift <= task.window - task.crop:
        raise ValueError(
            f"camera_shift = {task.camera_shift}: must lie between 0 and {task.window - task.crop}, what a crop of {task.crop} "
            f"leaves of a window of {task.window}; lower it, or crop less of the window"
        )


def guard_words(task: Any, *, each: str = "frame") -> dict[str, str]:
    """How the guards stand that the fields of `task` switch; `each` is what has a change and a place of its own."""
    names = {field.name for field in fields(task)}
    return {guard: say(task, each) for guard, (field, say) in _WORDS.items() if field in names}


def _jitter(task: Any, each: str) -> str:
    known = {field.name for field in fields(task)}
    reach = [f"{name} {getattr(task, name):g}" for name in _JITTER if name in known]
    own = f"each {each} its own" if task.independent_jitter else f"off: one change for every {each}"
    return f"{', '.join(reach)}, {own}"


def _overlays(task: Any) -> str:
    corners = f"{task.corner_mask:.0%} of each side covered at corners" if task.corner_mask else ""
    measured = "measured overlays covered" if task.overlay_mask else ""
    return ", ".join(words for words in (corners, measured) if words) or "off"


_JITTER: Final = ("brightness", "contrast", "saturation", "hue", "grey")

_WORDS: Final[Mapping[str, tuple[str, Callable[[Any, str], str]]]] = {
    "colour_jitter": ("independent_jitter", _jitter),
    "camera_shift": (
        "camera_shift",
        lambda t, each: f"each {each} by up to {t.camera_shift} pixels" if t.camera_shift else "off",
    ),
    "frame_blur": ("blur", lambda t, each: f"each {each} by up to {t.blur:g} pixels" if t.blur else "off"),
    "motion_window": (
        "motion_window",
        lambda t, _: "drawn by motion" if t.motion_window else "off: drawn uniformly",
    ),
    "scene_cuts": ("scene_cuts", lambda t, _: "within a scene" if t.scene_cuts else "off"),
    "overlay_mask": ("overlay_mask", lambda t, _: _overlays(t)),
    "content_box": ("content_box", lambda t, _: "windows inside the content" if t.content_box else "off"),
}
"""Guard → the field that switches it, and how it stands."""
