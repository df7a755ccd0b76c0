"""One decode backend on a tiny generated clip, in a process of its own: a library that crashes takes only itself down.

`unreel doctor` starts it as `python -m unreel.tools.trial BACKEND DEVICE FILE` and reads FILE.
"""

import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unreel.pipelines.decode import DecodeBackend, Decoded
    from unreel.pipelines.plan import Plan
    from unreel.shards.reader import EncodedSample

__all__ = ["Trial", "run_trial"]

_RATE: Final = 25
_FRAMES: Final = 24
_AUDIO_RATE: Final = 48_000
_REPEATS: Final = 5
_WANTED: Final = (20, 3, 17)
_TOLERANCE: Final = 6.0
"""Grey steps that a flat picture may be off after coding."""


class Trial(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        status: `works`, `missing` (its library does not load) or `fails`.
        detail: versions where it works, else the reason and what to do, in one sentence.
        milliseconds: time for three frames and a tenth of a second of sound, decoders already open, best of five.
        codec: the codec of the picture.
    """

    status: str
    detail: str
    milliseconds: float = 0.0
    codec: str = ""


def run_trial(name: str, device: str) -> Trial:
    """Decode the clip with the backend `name` on `device`, and hold pictures and sound against what went in."""
    from unreel.pipelines.decode import available, make_backend

    missing = available()[name]
    if missing is not None:
        return Trial("missing", missing)
    # DALI's decoder for CPUs has no H.264.
    sample = _sample("clips-128-vp9" if (name, device) == ("dali", "cpu") else "clips-128")
    assert sample.sidecar.video is not None
    backend = make_backend(name, threads=1, device=device)
    wrong = _wrong(backend.decode([sample], [_plan()]))
    milliseconds = min(_milliseconds(backend, sample) for _ in range(_REPEATS))
    codec, version = sample.sidecar.video.codec, backend.version
    backend.close()
    if wrong is not None:
        return Trial("fails", wrong, milliseconds, codec)
    slower = getattr(backend, "fallback", None)
    if slower is not None:
        version += f"; slower loop in PyAV: {slower}"
    return Trial("works", version, milliseconds, codec)


def _milliseconds(backend: "DecodeBackend", sample: "EncodedSample") -> float:
    start = time.perf_counter()
    backend.decode([sample], [_plan()])
    return 1000 * (time.perf_counter() - start)


def _sample(profile_name: str) -> "EncodedSample":
    """A clip whose frame i is flat grey of luma 40 + 7 i, with a ramp for sound."""
    import numpy as np

    from unreel.shards.index import SampleRow
    from unreel.shards.making.encode import encode_picture, encode_sound
    from unreel.shards.making.profiles import PROFILES
    from unreel.shards.reader import EncodedSample
    from unreel.shards.sample import Sidecar, Source, audio_length

    yuv = np.full((_FRAMES, 192, 160), 128, np.uint8)
    yuv[:, :128] = (40 + 7 * np.arange(_FRAMES))[:, None, None]
    rate = Fraction(_RATE)
    profile = PROFILES[profile_name]
    picture, video = encode_picture(yuv, rate, profile)
    sound, audio = encode_sound(_ramp(audio_length(_FRAMES, _AUDIO_RATE, rate))[:, None], profile)
    source = Source(id="0" * 16, name="trial")
    return EncodedSample(
        shard="trial",
        row=SampleRow(key="trial", source=source.id, members=()),
        sidecar=Sidecar(key="trial", source=source, video=video, audio=audio),
        members={"mp4": memoryview(picture), "flac": memoryview(sound)},
    )


def _ramp(length: int) -> "NDArray[np.int16]":
    import numpy as np

    return (np.arange(length) % 60_000 - 30_000).astype(np.int16)


def _plan() -> "Plan":
    import numpy as np

    from unreel.pipelines.plan import Plan, Span, Window

    return Plan(
        frames=np.array(_WANTED, np.int32), window=Window(8, 16, 96, 112), sound=Span(_AUDIO_RATE // 2, 4800)
    )


def _wrong(decoded: "Decoded") -> str | None:
    """What is wrong with the result, in one sentence; None if nothing is."""
    import numpy as np

    if decoded.failures:
        return str(decoded.failures[0])
    assert decoded.frames is not None and decoded.audio is not None
    expected = (40 + 7 * np.array(_WANTED) - 16) * 255 / 219
    found = decoded.frames[0].float().mean((1, 2, 3)).cpu().numpy()
    if np.abs(found - expected).max() > _TOLERANCE:
        return f"frames {_WANTED} have mean grey {found.round(1)}, expected {expected.round(1)}"
    plan = _plan().sound
    assert plan is not None
    ramp = _ramp(plan.start + plan.length)[plan.start :].astype(np.float32) / 32768
    return (
        None if np.array_equal(decoded.audio[0, 0].cpu().numpy(), ramp) else "the sound is not what went in"
    )


if __name__ == "__main__":
    trial_name, trial_device, out = sys.argv[1:]
    Path(out).write_bytes(msgspec.json.encode(run_trial(trial_name, trial_device)))
