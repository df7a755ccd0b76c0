"""How far apart flash and beep are: as the container times them, and in what a loader decodes from a shard."""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.decode import DecodeBackend, make_backend
from unreel.pipelines.plan import Plan, Span, Window
from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import EncodedSample, Reader
from unreel.tools.bench.flashes import Case, beep, is_flash

__all__ = ["Offset", "Seen", "measure", "seen_in_container", "seen_in_shards"]

# A beep is looked for so far around its flash; what is further away is not found, and that is an error.
_REACH_SECONDS: Final = 0.3
# A flash so near to the edge of a clip may have its beep beyond it.
_MARGIN_SECONDS: Final = 0.04
# Share of the beep's own energy that a place must give to be the beep.
_LEAST_MATCH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """A flash and its beep.

    Attributes:
        flash: seconds from the first decoded frame to the first bright one.
        beep: seconds from there to the beep's first sample; NaN where it is not found beside its flash.
        start: frame of the source at which the clip begins in which they are.
    """

    flash: float
    beep: float
    start: int = 0


@dataclass(frozen=True, slots=True)
class Offset:
    """What a loader decodes, against the truth. All in seconds; above 0 is late.

    Attributes:
        sound: the beep against the container's own time stamps.
        picture: the flash against them.
        content: the beep against the flash, beside how they were drawn.
        drawn: the same in the container's own time stamps: what no reader can put right.
    """

    start: int
    sound: float
    picture: float
    content: float
    drawn: float


def measure(case: Case, told: Sequence[Seen], found: Sequence[Seen]) -> list[Offset]:
    """Every flash of `found`, in the order of time, beside the flash of the container, and of the drawing, next to it.

    Args:
        told: of `seen_in_container`.
        found: of `seen_in_shards`.
    """
    # A file that was cut begins later than what was drawn: the pattern of the flashes says where.
    first = min(range(len(case.times)), key=lambda number: _misfit(case.times[number:], told))
    drawn = [sound - flash for flash, sound in zip(case.times[first:], case.beeps[first:], strict=True)]
    offsets = []
    for seen in found:
        place = int(np.argmin([abs(other.flash - seen.flash) for other in told]))
        other, due = told[place], drawn[place]
        if abs(other.flash - seen.flash) > _REACH_SECONDS:
            # A flash without its beep, in the source as well.
            continue
        if math.isnan(seen.beep):
            raise ValueError(
                f"the beep at {other.beep:.3f} s of the source is not in the clip from frame {seen.start} on"
            )
        offsets.append(
            Offset(
                start=seen.start,
                sound=seen.beep - other.beep,
                picture=seen.flash - other.flash,
                content=seen.beep - seen.flash - due,
                drawn=other.beep - other.flash - due,
            )
        )
    return offsets


def _misfit(times: Sequence[float], told: Sequence[Seen]) -> float:
    if len(times) < len(told):
        return np.inf
    pairs = zip(times, told, strict=False)
    return float(np.ptp([time - seen.flash for time, seen in pairs]))


def seen_in_container(path: Path) -> list[Seen]:
    """Flashes and beeps of a source by the time stamps of its decoded frames, one read after the other."""
    times, luma = _decode_picture(path)
    starts, rate, sound = _decode_sound(path)
    origin, bright = times[0], _onsets(is_flash(luma))
    offsets = np.concatenate([[0], np.cumsum([len(block) for block in sound])])
    whole = np.concatenate(sound)

    def at(place: float) -> float:
        block = int(np.searchsorted(offsets, place, "right")) - 1
        return starts[block] + (place - int(offsets[block])) / rate

    seen = []
    for frame in bright:
        due = round((times[frame] - starts[0]) * rate)
        place = _find(whole, due, rate)
        if place is not None and not math.isnan(place):
            seen.append(Seen(float(times[frame] - origin), float(at(place) - origin)))
    if not seen:
        raise ValueError(f"{path}: not one flash with its beep in what FFmpeg decodes of it")
    return seen


def _decode_picture(path: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Seconds `[T]` and luma `[T, H, W]` of all decoded frames."""
    times, luma = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None and frame.time_base is not None, f"{path}: a frame without a time"
            times.append(float(frame.pts * frame.time_base))
            luma.append(frame.to_ndarray(format="gray"))
    return np.array(times), np.stack(luma)


def _decode_sound(path: Path) -> tuple[list[float], int, list[NDArray[np.float64]]]:
    """Seconds at which each decoded block begins, samples a second, and the blocks."""
    starts, blocks, rate = [], [], 0
    resampler = av.AudioResampler(format="flt", layout="mono")
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            assert frame.pts is not None and frame.time_base is not None, f"{path}: sound without a time"
            starts.append(float(frame.pts * frame.time_base))
            rate = frame.sample_rate
            blocks.append(
                np.concatenate([part.to_ndarray()[0] for part in resampler.resample(frame)]).astype(
                    np.float64
                )
            )
    return starts, rate, blocks


def _onsets(bright: NDArray[np.bool_]) -> list[int]:
    return np.flatnonzero(bright & ~np.concatenate([[False], bright[:-1]])).tolist()


def _find(sound: NDArray[np.float64], due: int, rate: int) -> float | None:
    """The sample, with its fraction, at which a beep begins near `due`: NaN where there is none, None where it may
    lie beyond the sound."""
    burst, reach = beep(rate), round(_REACH_SECONDS * rate)
    first = max(0, due - reach)
    heard = sound[first : due + reach + len(burst)]
    margin = round(_MARGIN_SECONDS * rate)
    if due < margin or due + len(burst) + margin > len(sound):
        return None
    match = np.correlate(heard, burst, "valid")
    peak = int(match.argmax())
    if match[peak] < _LEAST_MATCH * (burst @ burst):
        return math.nan
    return first + peak + _vertex(match, peak)


def _vertex(values: NDArray[np.float64], peak: int) -> float:
    """Where a parabola through a peak and its neighbours is highest, from -0.5 to 0.5."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = values[peak - 1 : peak + 2]
    return float((before - after) / (2 * (before - 2 * here + after)))


def seen_in_shards(folder: Path) -> dict[str, list[Seen]]:
    """Name of a source → flashes and beeps of its clips, as the backend of loaders on a CPU decodes them."""
    seen: dict[str, list[Seen]] = {}
    catalogue = Catalogue.open(folder)
    with closing(Reader(catalogue)) as reader, closing(make_backend("packets", threads=2)) as backend:
        for shard, ordinal, _ in catalogue.rows():
            sample = reader.read(shard, ordinal)
            seen.setdefault(sample.sidecar.source.name, []).extend(_seen_in_clip(sample, backend))
    return {name: sorted(found, key=lambda one: one.flash) for name, found in seen.items()}


def _seen_in_clip(sample: EncodedSample, backend: DecodeBackend) -> Iterator[Seen]:
    video, audio = sample.sidecar.video, sample.sidecar.audio
    assert video is not None and audio is not None
    luma, sound = _decode_clip(sample, backend)
    rate = Fraction(*video.rate)
    begins = float(sample.sidecar.source.start_frame / rate)
    for frame in _onsets(is_flash(luma)):
        place = _find(sound, round(frame / rate * audio.rate), audio.rate)
        if place is not None:
            yield Seen(
                begins + float(frame / rate), begins + place / audio.rate, sample.sidecar.source.start_frame
            )


def _decode_clip(
    sample: EncodedSample, backend: DecodeBackend
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """All of it: luma `[T, H, W]` and sound `[N]`."""
    video, audio = sample.sidecar.video, sample.sidecar.audio
    assert video is not None and audio is not None
    plan = Plan(
        frames=np.arange(video.frames, dtype=np.int32),
        window=Window(0, 0, video.height, video.width),
        sound=Span(0, audio.samples),
    )
    decoded = backend.decode([sample], [plan], pixels="yuv420")
    for failure in decoded.failures.values():
        raise failure
    assert decoded.yuv is not None and decoded.audio is not None
    return decoded.yuv.luma[0].numpy(), decoded.audio[0].mean(0).numpy().astype(np.float64)
