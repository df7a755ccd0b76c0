"""What the CPU backends share: rows decoded one by one, in parallel, on threads that are kept."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from unreel.pipelines.decode.backend import Decoded, Show, check_pixels, failed
from unreel.pipelines.decode.sound import SOUNDS, decode_spans
from unreel.pipelines.decode.views import View, make_views
from unreel.pipelines.plan import Plan
from unreel.pipelines.plans import shown_frames
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

    @property
    def version(self) -> str:
        """Versions of the libraries that decode."""
        raise NotImplementedError

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
        return self.decode_together(samples, [plans], pixels=pixels)[0]

    def decode_together(
        self, samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan | None]], *, pixels: str = "rgb"
    ) -> list[Decoded]:
        """Decode all rows for all tasks; see `TogetherBackend.decode_together`."""
        check_pixels(self.name, pixels)
        views = make_views(samples, plans, pixels)
        for view in views:
            view.check(self, samples)
        list(self._pool.map(lambda row: self._row(samples[row], row, views), range(len(samples))))
        return [view.finish(samples) for view in views]

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _declines_video(self, video: Video) -> str | None:
        return None

    def _declines_image(self, image: Image) -> str | None:
        return f"{self.name} takes no still pictures; packets and dali do"

    def _pictures(self, sample: EncodedSample, shows: Sequence[Show]) -> None:
        """Write the frames of each plan, cropped to its window, to where they go."""
        wanted = shown_frames([plan for plan, _ in shows])
        pictures = self._frames(sample, wanted)
        for plan, (out,) in shows:
            window = plan.window
            assert window is not None
            down = slice(window.top, window.top + window.height)
            across = slice(window.left, window.left + window.width)
            out[:] = pictures[np.searchsorted(wanted, plan.frames), down, across]

    def _frames(self, sample: EncodedSample, indices: NDArray[np.int32]) -> NDArray[np.uint8]:
        """The whole pictures of ascending indices without repeats, RGB `[N, H, W, 3]`."""
        raise NotImplementedError

    def _row(self, sample: EncodedSample, row: int, views: Sequence[View]) -> None:
        """Decode one row into the views that have a plan for it."""
        shown = [view for view in views if view.pictures and view.plans[row] is not None]
        shows = [
            (plan, tuple(values[row].numpy() for values in view.pictures))
            for view in shown
            if (plan := view.plans[row]) is not None
        ]
        try:
            if shows:
                self._pictures(sample, shows)
        except self.errors as error:
            for view in shown:
                view.fail(row, failed(sample, self.name, error))
        self._row_sound(sample, row, views)

    def _row_sound(self, sample: EncodedSample, row: int, views: Sequence[View]) -> None:
        """Decode one row's sound into the views that have a plan for it."""
        heard = [view for view in views if view.sound is not None and view.plans[row] is not None]
        spans = [
            plan.sound for view in heard if (plan := view.plans[row]) is not None and plan.sound is not None
        ]
        audio = sample.sidecar.audio
        if not spans or audio is None:
            return
        try:
            sounds = decode_spans(sound_member(sample), spans, audio.codec)
        except self.errors as error:
            for view in heard:
                view.fail(row, failed(sample, self.name, error))
            return
        for view, sound in zip(heard, sounds, strict=True):
            if view.sound is not None:
                view.sound[row].copy_(torch.from_numpy(sound))


def sound_member(sample: EncodedSample) -> memoryview:
    """The bytes of the sound. Raises DecodeFailed if they were not read."""
    audio = sample.sidecar.audio
    assert audio is not None, "check_row lets no sample without sound through"
    if audio.member not in sample.members:
        raise DecodeFailed(f"the member {audio.member} was not read")
    return sample.members[audio.member]
