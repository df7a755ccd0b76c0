"""Facts of a sample that is already stored, from its own members: for shards of others, and for facts that came later.

Nothing is encoded anew. The members are decoded by the same program and filters as in the build, and measured by the same
code, so only what the encoder changed in the pictures makes a difference: `tests/shards/test_measure.py` states how much.
`add_facts(names)` is the change that `rewrite.rewrite` applies to every sample of a data set.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from functools import partial
from typing import Any, Final

import ffmpeg
import msgspec
import numpy as np
from numpy.typing import NDArray

from unreel.shards.border.limits import DEFAULT_LIMITS, Limits
from unreel.shards.border.signatures import HEAD_BYTES
from unreel.shards.care.decodable import pinned_demuxer
from unreel.shards.errors import MediaRefused
from unreel.shards.making.analyse import Box, content_box
from unreel.shards.making.facts import (
    FACTS,
    PICTURE_FACTS,
    SOUND_FACTS,
    picture_facts,
    sound_facts,
    take_facts,
)
from unreel.shards.making.hashes import picture_hashes
from unreel.shards.making.profiles import DEFAULT_PROFILE, PROFILES, Profile
from unreel.shards.making.streams import Streams
from unreel.shards.making.transcode import (
    GREY_DIVISOR,
    compile_outputs,
    grey_and_cuts,
    input_options,
    raw_output,
    read_cuts,
)
from unreel.shards.sample import Audio, Facts, Image, Sidecar, Video, pack_column

__all__ = ["IMAGE_FACTS", "add_facts", "check_facts", "facts_of", "measure_facts", "missing_facts"]

IMAGE_FACTS: Final = ("content_box", "hashes")
"""What is measured of a still picture."""

# Motion is a mean over pixels of a quarter of the side, and codec noise weighs less in larger ones: larger pictures of others
# are measured at the size in which the default profile stores them.
_LARGEST_SIDE: Final = 256
_SIDE: Final = 128
# A member is measured whole, in memory, and a small file can claim hours.
_MOST_BYTES: Final = 2 << 30

Members = Mapping[str, bytes | memoryview]


def add_facts(
    names: Collection[str] = FACTS, *, profile: Profile = PROFILES[DEFAULT_PROFILE], again: bool = False
) -> Callable[[Sidecar, Members], Sidecar]:
    """The change for `rewrite` that measures the facts `names` of each sample that lacks them.

    Args:
        profile: gives the thresholds of cuts and silence.
        again: also measure what was measured before.

    Raises:
        ValueError: there is no fact of a name.
    """
    return partial(measure_facts, names=check_facts(names), profile=profile, again=again)


def check_facts(names: Collection[str]) -> tuple[str, ...]:
    """`names` as they were given. Raises ValueError where there is no fact of a name."""
    unknown = sorted(set(names) - set(FACTS))
    if unknown:
        raise ValueError(f"facts {', '.join(unknown)}: there are {', '.join(FACTS)}")
    return tuple(names)


def missing_facts(sidecar: Sidecar, names: Collection[str]) -> list[str]:
    """Those of `names` that the sample's members can give, and that were not measured."""
    heard = SOUND_FACTS if sidecar.video is not None else ("silence",)
    given = {
        *(PICTURE_FACTS if sidecar.video is not None else ()),
        *(IMAGE_FACTS if sidecar.image is not None else ()),
        *(heard if sidecar.audio is not None else ()),
    }
    return [name for name in names if name in given and name not in sidecar.facts.measured]


def measure_facts(
    sidecar: Sidecar,
    members: Members,
    *,
    names: Collection[str] = FACTS,
    profile: Profile = PROFILES[DEFAULT_PROFILE],
    again: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Sidecar:
    """`sidecar` with the facts `names` that its members can give, and that it lacks.

    Raises:
        MediaRefused: a member does not decode, or not to what the sidecar says; the message names the sample.
    """
    wanted = [name for name in names if again or name not in sidecar.facts.measured]
    try:
        found = facts_of(sidecar, members, wanted, profile, limits)
    except MediaRefused as refusal:
        raise MediaRefused(refusal.reason, f"sample {sidecar.key}: {refusal.detail}") from refusal
    return msgspec.structs.replace(sidecar, facts=take_facts(sidecar.facts, found, wanted))


def facts_of(
    sidecar: Sidecar, members: Members, names: Collection[str], profile: Profile, limits: Limits
) -> Facts:
    """The facts that the decodes give which `names` need; they may be more."""
    facts = Facts()
    if sidecar.video is not None and not {*PICTURE_FACTS}.isdisjoint(names):
        facts = _of_video(sidecar.video, members[sidecar.video.member], profile, limits)
    if sidecar.image is not None and not {*IMAGE_FACTS}.isdisjoint(names):
        facts = _of_image(sidecar.image, members[sidecar.image.member], limits)
    if sidecar.audio is not None and not {*SOUND_FACTS}.isdisjoint(names):
        heard = _of_sound(sidecar, sidecar.audio, members[sidecar.audio.member], profile, limits)
        facts = take_facts(facts, heard)
    return facts


def _of_video(video: Video, data: bytes | memoryview, profile: Profile, limits: Limits) -> Facts:
    luma, grey, cuts = _pictures(video, data, video.frames, profile.cut_threshold, limits)
    facts = picture_facts(luma, grey, video.frame_rate)
    return msgspec.structs.replace(
        facts,
        cuts=cuts,
        content_box=_stored(facts.content_box, luma, video),
        overlay_box=_stored(facts.overlay_box, luma, video),
    )


def _of_image(image: Image, data: bytes | memoryview, limits: Limits) -> Facts:
    luma, grey, _ = _pictures(image, data, 1, 100.0, limits)
    return Facts(
        measured=IMAGE_FACTS,
        content_box=_stored(content_box(luma), luma, image),
        hashes=pack_column("hashes", picture_hashes(grey, Fraction(1))),
    )


def _of_sound(
    sidecar: Sidecar, audio: Audio, data: bytes | memoryview, profile: Profile, limits: Limits
) -> Facts:
    rate, frames = (sidecar.video.frame_rate, sidecar.video.frames) if sidecar.video else (Fraction(1), 0)
    return sound_facts(
        _sound(audio, data, limits),
        audio.rate,
        level=profile.silence_level,
        seconds=profile.silence_seconds,
        frames=frames,
        rate=rate,
    )


def _pictures(
    shape: Video | Image, data: bytes | memoryview, frames: int, threshold: float, limits: Limits
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[int, ...]]:
    """(luma `[T, H, W]` of limited range, grey `[T, H / 4, W / 4]`, cuts); H and W are even."""
    width, height = _measured_size(shape)

    def outputs(source: Any, pipes: Mapping[str, int]) -> list[Any]:
        both = _as_stored(source.video, width, height).filter_multi_output("split")
        grey = grey_and_cuts(both[1], threshold, pipes["cuts"])
        return [
            both[0].output(f"pipe:{pipes['luma']}", **raw_output("yuv420p")),
            grey.output(f"pipe:{pipes['grey']}", **raw_output("gray")),
        ]

    found = _decode(data, shape, ("luma", "grey", "cuts"), outputs, limits)
    luma = _frames(found["luma"], frames, height * 3 // 2, width)[:, :height]
    grey = _frames(found["grey"], frames, height // GREY_DIVISOR, width // GREY_DIVISOR)
    return luma, grey, read_cuts(found["cuts"])


def _as_stored(stream: Any, width: int, height: int) -> Any:
    """Every decoded frame, whatever its time: facts are one a stored frame."""
    counted = stream.filter("setpts", "N/TB")
    scaled = counted.filter("scale", width, height, flags="area+accurate_rnd+bitexact", out_range="limited")
    return scaled.filter("format", "yuv420p")


def _measured_size(shape: Video | Image) -> tuple[int, int]:
    shorter = min(shape.width, shape.height)
    scale = Fraction(_SIDE, shorter) if shorter > _LARGEST_SIDE else Fraction(1)
    # Colour is stored halved, and the grey copy has at least one pixel.
    width, height = (max(4, round(side * scale / 2) * 2) for side in (shape.width, shape.height))
    return width, height


def _stored(box: Box | None, luma: NDArray[np.uint8], shape: Video | Image) -> Box | None:
    """A box of the measured picture in pixels of the stored one, grown to whole ones."""
    if box is None:
        return None
    across, down = (
        Fraction(stored, size)
        for stored, size in zip((shape.width, shape.height), luma.shape[:0:-1], strict=True)
    )
    left, top, right, bottom = box
    return (
        int(left * across),
        int(top * down),
        min(shape.width, -int(-right * across // 1)),
        min(shape.height, -int(-bottom * down // 1)),
    )


def _frames(data: bytes, frames: int, height: int, width: int) -> NDArray[np.uint8]:
    found = len(data) / (height * width)
    if found != frames:
        raise MediaRefused("damaged", f"expected {frames} frames, decoded {found:g}")
    return np.frombuffer(data, np.uint8).reshape(frames, height, width)


def _sound(audio: Audio, data: bytes | memoryview, limits: Limits) -> NDArray[np.int16]:
    """int16 `[N, C]`."""

    def outputs(source: Any, pipes: Mapping[str, int]) -> list[Any]:
        return [
            source.audio.output(
                f"pipe:{pipes['pcm']}", format="s16le", acodec="pcm_s16le", ar=audio.rate, ac=audio.channels
            )
        ]

    found = _decode(data, audio, ("pcm",), outputs, limits)
    sound = np.frombuffer(found["pcm"], "<i2").reshape(-1, audio.channels)
    if len(sound) < audio.samples:
        raise MediaRefused("damaged", f"expected {audio.samples} samples of sound, decoded {len(sound)}")
    # The sound that others store may go on after the picture; what counts ends with it.
    return sound[: audio.samples]


def _decode(
    data: bytes | memoryview,
    part: Video | Image | Audio,
    names: tuple[str, ...],
    outputs: Callable[[Any, Mapping[str, int]], list[Any]],
    limits: Limits,
) -> dict[str, bytes]:
    """What ffmpeg writes into the pipes `names`. Members of others may be hostile, so it is a process with limits."""
    demuxer = pinned_demuxer(bytes(data[:HEAD_BYTES]), part.member)
    limits = msgspec.structs.replace(limits, output=min(limits.output, _MOST_BYTES))
    with tempfile.NamedTemporaryFile(suffix=f".{part.member}") as file:
        file.write(data)
        file.flush()
        source = ffmpeg.input(f"file:{file.name}", **input_options(demuxer, part.codec, limits))
        streams = Streams(
            names,
            lambda pipes: compile_outputs(outputs(source, pipes)),
            limits=limits,
            seconds=_seconds(part),
        )
        try:
            return streams.finish()
        finally:
            streams.close()


def _seconds(part: Video | Image | Audio) -> float:
    if isinstance(part, Video):
        return float(part.frames / part.frame_rate)
    return part.samples / part.rate if isinstance(part, Audio) else 0.0
