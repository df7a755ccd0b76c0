"""The one protocol of every decode backend: encoded samples and plans in, one tensor of pictures and one of sound out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.ops.yuv import PlanarYuv
from unreel.pipelines.plan import Plan, check_plan
from unreel.shards.errors import DecodeFailed, PlanImpossible
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Sidecar

__all__ = [
    "PIXELS",
    "BatchShape",
    "DecodeBackend",
    "Decoded",
    "Show",
    "TogetherBackend",
    "batch_shape",
    "batch_shapes",
    "check_pixels",
    "check_row",
    "colours_of",
    "failed",
]

PIXELS: Final = ("rgb", "yuv420")
"""What pictures are handed out as."""

Show = tuple[Plan, tuple[NDArray[np.uint8], ...]]
"""A plan and where its pictures go: RGB `[T, H, W, 3]`, or Y `[T, H, W]` and UV `[T, 2, H / 2, W / 2]`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a backend made of B samples.

    Attributes:
        frames: uint8 in [0, 255], `[B, T, H, W, 3]`, RGB, on the backend's device; None where no plan takes pictures,
            and where planes are asked for.
        audio: float32 in [-1, 1], `[B, C, N]`; None where no plan takes sound.
        yuv: the pictures as the codec stores them; None unless they are asked for.
        failures: row → why it could not be decoded. These rows hold zeros; the others are not touched by them.
    """

    frames: Tensor | None
    audio: Tensor | None
    yuv: PlanarYuv | None = None
    failures: Mapping[int, DecodeFailed] = field(default_factory=dict)

    @property
    def tensors(self) -> list[Tensor]:
        """Everything that has rows: pictures, then sound."""
        planes = () if self.yuv is None else (self.yuv.luma, self.yuv.chroma)
        return [values for values in (self.frames, *planes, self.audio) if values is not None]


@runtime_checkable
class DecodeBackend(Protocol):
    """One way to decode. It keeps decoders and threads between calls; `close` gives them back."""

    @property
    def name(self) -> str:
        """Its name in `BACKENDS`."""

    @property
    def version(self) -> str:
        """Versions of the libraries that decode, such as `PyAV 18.1.0, libavcodec 62.28.102`."""

    def declines(self, sidecar: Sidecar) -> str | None:
        """Why this backend does not take such a sample, in one sentence; None where it does."""

    def decode(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], *, pixels: str = "rgb"
    ) -> Decoded:
        """Decode what `plans[i]` asks of `samples[i]`, for all rows.

        A row that fails is in `failures` and never raises.

        Args:
            pixels: one of `PIXELS`. `yuv420` gives the planes as they are stored, without a conversion; windows must
                then begin and end at even pixels.

        Raises:
            ValueError: the rows do not make one batch: other counts, window sizes or lengths; or the backend does not
                give such pixels.
        """

    def close(self) -> None:
        """Stop threads and free decoders. The backend is of no use afterwards."""


@runtime_checkable
class TogetherBackend(DecodeBackend, Protocol):
    """A backend that decodes once what several tasks take of the same samples."""

    def decode_together(
        self, samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan | None]], *, pixels: str = "rgb"
    ) -> list[Decoded]:
        """Decode what the plans `plans[k][i]` of every task k ask of `samples[i]`, each frame once.

        Returns:
            For each task what `decode` gives it, of B rows; rows where its plan is None hold zeros. A row that fails
            may fail for all its tasks; `together.decode_together` tries it again for each of them alone.

        Raises:
            ValueError: as `decode`, for the rows of any one task.
        """


@dataclass(frozen=True, slots=True)
class BatchShape:
    """What all rows of a batch have in common.

    Attributes:
        picture: (T, H, W) of the pictures; None where no picture is asked for.
        sound: (C, N) of the sound; None where no sound is asked for.
        pixels: one of `PIXELS`.
    """

    picture: tuple[int, int, int] | None
    sound: tuple[int, int] | None
    pixels: str = "rgb"

    @property
    def planes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of one row's pictures by name, in the order in which a `Show` has them."""
        if self.picture is None:
            return {}
        frames, height, width = self.picture
        if self.pixels == "rgb":
            return {"rgb": (frames, height, width, 3)}
        return {"luma": (frames, height, width), "chroma": (frames, 2, height // 2, width // 2)}

    def blank(self, rows: int, device: torch.device | str = "cpu") -> tuple[Tensor | None, Tensor | None]:
        """Zeros for `rows` rows: pictures uint8 `[B, T, H, W, 3]` and sound float32 `[B, C, N]`."""
        frames = audio = None
        if self.picture is not None:
            frames = torch.zeros((rows, *self.picture, 3), dtype=torch.uint8, device=device)
        if self.sound is not None:
            audio = torch.zeros((rows, *self.sound), device=device)
        return frames, audio


def batch_shape(samples: Sequence[EncodedSample], plans: Sequence[Plan], pixels: str = "rgb") -> BatchShape:
    """The shape that all rows share; the first row with sound decides the number of channels.

    Raises:
        ValueError: the rows do not make one batch, or there are no such pixels.
    """
    if pixels not in PIXELS:
        raise ValueError(f"pixels {pixels!r}: allowed are {', '.join(PIXELS)}")
    if not plans or len(samples) != len(plans):
        raise ValueError(
            f"{len(samples)} samples and {len(plans)} plans: one plan a sample, at least one row"
        )
    pictures = {_picture(plan) for plan in plans}
    lengths = {None if plan.sound is None else plan.sound.length for plan in plans}
    if len(pictures) > 1 or len(lengths) > 1:
        raise ValueError(f"rows of one batch differ: (T, H, W) {pictures}, audio samples {lengths}")
    length = lengths.pop()
    return BatchShape(pictures.pop(), None if length is None else (_channels(samples), length), pixels)


def batch_shapes(
    samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan | None]], pixels: str = "rgb"
) -> list[BatchShape]:
    """The shape of each task's rows; those without a plan do not count. Raises ValueError as `batch_shape`."""
    shapes = []
    for wanted in plans:
        if len(wanted) != len(samples):
            raise ValueError(f"{len(samples)} samples and {len(wanted)} plans: one plan a sample, or None")
        rows = [(sample, plan) for sample, plan in zip(samples, wanted, strict=True) if plan is not None]
        shapes.append(batch_shape([sample for sample, _ in rows], [plan for _, plan in rows], pixels))
    return shapes


def check_pixels(name: str, pixels: str) -> None:
    """Raise ValueError where a backend is asked for what it does not give: planes come from `packets` alone."""
    if pixels not in PIXELS:
        raise ValueError(f"pixels {pixels!r}: allowed are {', '.join(PIXELS)}")
    if pixels != "rgb" and name != "packets":
        raise ValueError(f"pixels {pixels!r}: {name} gives rgb; planes come from packets")


def colours_of(samples: Sequence[EncodedSample]) -> tuple[str, ...]:
    """Matrix and range of each sample's pictures, as the contract has them: JPEG is BT.601 of full range."""
    videos = (sample.sidecar.video for sample in samples)
    return tuple("smpte170m full" if video is None else video.matrix for video in videos)


def check_row(sample: EncodedSample, plan: Plan, shape: BatchShape, declined: str | None) -> None:
    """Hold one row against its sample before a byte is decoded: decoders answer a wrong index with black.

    Raises:
        DecodeFailed: the backend declines the sample, the plan does not fit it, or its channels are not the batch's.
    """
    if declined is not None:
        raise DecodeFailed(declined)
    try:
        check_plan(plan, sample.sidecar)
    except PlanImpossible as error:
        raise DecodeFailed(str(error)) from error
    window = plan.window
    if shape.pixels == "yuv420" and window is not None:
        edges = (window.top, window.left, window.height, window.width)
        if any(edge % 2 for edge in edges):
            raise DecodeFailed(
                f"{window}: 4:2:0 planes are cut at even pixels only; plan even windows or take rgb"
            )
    audio = sample.sidecar.audio
    if shape.sound is not None and audio is not None and audio.channels != shape.sound[0]:
        raise DecodeFailed(f"{audio.channels} channels of sound, the batch has {shape.sound[0]}")


def failed(sample: EncodedSample, backend: str, reason: Exception) -> DecodeFailed:
    """The error of one row: its shard, its key, the backend and the reason, which stays attached as the cause."""
    error = DecodeFailed(f"{sample.shard}, sample {sample.sidecar.key}, {backend}: {reason}")
    error.__cause__ = reason
    return error


def _picture(plan: Plan) -> tuple[int, int, int] | None:
    if not len(plan.frames) or plan.window is None:
        return None
    return len(plan.frames), plan.window.height, plan.window.width


def _channels(samples: Sequence[EncodedSample]) -> int:
    known = (sample.sidecar.audio for sample in samples)
    return next((audio.channels for audio in known if audio is not None), 1)
