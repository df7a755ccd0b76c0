"""What the CPU backends share: rows decoded one by one, in parallel, on threads that are kept."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.decode.backend import BatchShape, Decoded, batch_shape, check_row, failed, only_rgb
from unreel.pipelines.decode.sound import SOUNDS, decode_span
from unreel.pipelines.plan import Plan
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Image, Sidecar, Video

__all__ = ["RowBackend", "sound_member"]


class RowBackend:
    """Base of backends that decode a row at a time.

    A subclass names itself, says which errors its library raises for a bad sample, and decodes pictures.
    Everything else that is raised is a bug and goes through.
    """

    name: ClassVar[str]
    errors: ClassVar[tuple[type[Exception], ...]]
    """What a bad sample raises; `DecodeFailed` is among them."""

    def __init__(self, *, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"threads {threads}: at least 1")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"decode-{self.name}")

    def declines(self, sidecar: Sidecar) -> str | None:
        """Why this backend does not take such a sample, in one sentence; None where it does."""
        if sidecar.audio is not None and sidecar.audio.codec not in SOUNDS:
            return f"{self.name} takes sound as {' or '.join(SOUNDS)}, not {sidecar.audio.codec}"
        if sidecar.image is not None:
            return self._declines_image(sidecar.image)
        return None if sidecar.video is None else self._declines_video(sidecar.video)

    def decode(
        self, samples: Sequence[EncodedSample], plans: Sequence[Plan], *, pixels: str = "rgb"
    ) -> Decoded:
        """Decode all rows; see `DecodeBackend.decode`."""
        only_rgb(self.name, pixels)
        shape = batch_shape(samples, plans)
        frames, audio = shape.blank(len(plans))

        def one(row: int) -> DecodeFailed | None:
            views = (None if frames is None else frames[row], None if audio is None else audio[row])
            return self._row(samples[row], plans[row], shape, *views)

        outcomes = enumerate(self._pool.map(one, range(len(plans))))
        return Decoded(
            frames=frames, audio=audio, failures={row: error for row, error in outcomes if error is not None}
        )

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _declines_video(self, video: Video) -> str | None:
        return None

    def _declines_image(self, image: Image) -> str | None:
        return f"{self.name} takes no still pictures; packets and dali do"

    def _pictures(self, sample: EncodedSample, plan: Plan, out: NDArray[np.uint8]) -> None:
        """Write the plan's frames, cropped to its window, RGB, into `out` `[T, H, W, 3]`."""
        raise NotImplementedError

    def _sound_row(self, sample: EncodedSample, plan: Plan, out: Tensor) -> DecodeFailed | None:
        """Decode one row's sound into `out` `[C, N]`; the error if that fails."""
        try:
            out.copy_(torch.from_numpy(_sound(sample, plan)))
        except self.errors as error:
            return failed(sample, self.name, error)
        return None

    def _row(
        self,
        sample: EncodedSample,
        plan: Plan,
        shape: BatchShape,
        frames: Tensor | None,
        audio: Tensor | None,
    ) -> DecodeFailed | None:
        """Decode one row into its views; the error if that fails, with zeros in the views."""
        try:
            check_row(sample, plan, shape, self.declines(sample.sidecar))
            if frames is not None:
                self._pictures(sample, plan, frames.numpy())
            if audio is not None:
                audio.copy_(torch.from_numpy(_sound(sample, plan)))
        except self.errors as error:
            for view in (frames, audio):
                if view is not None:
                    view.zero_()
            return failed(sample, self.name, error)
        return None


def sound_member(sample: EncodedSample) -> memoryview:
    """The bytes of the sound. Raises DecodeFailed if they were not read."""
    audio = sample.sidecar.audio
    assert audio is not None, "check_row lets no sample without sound through"
    if audio.member not in sample.members:
        raise DecodeFailed(f"the member {audio.member} was not read")
    return sample.members[audio.member]


def _sound(sample: EncodedSample, plan: Plan) -> NDArray[np.float32]:
    audio = sample.sidecar.audio
    assert audio is not None and plan.sound is not None
    return decode_span(sound_member(sample), plan.sound, audio.codec)
