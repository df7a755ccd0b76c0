"""What the CPU backends share: rows decoded one by one, in parallel, on threads that are kept."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unreel.pipelines.decode.backend import (
    BatchShape,
    Decoded,
    Show,
    batch_shapes,
    check_row,
    failed,
    only_rgb,
)
from unreel.pipelines.decode.sound import SOUNDS, decode_spans
from unreel.pipelines.plan import Plan
from unreel.pipelines.plans import shown_frames
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Image, Sidecar, Video

__all__ = ["RowBackend", "View", "check_views", "sound_member"]


@dataclass(slots=True)
class View:
    """What one task gets of a batch.

    Attributes:
        shape: of its rows.
        plans: one a row; None where it has none, or its row has failed.
        pictures: RGB, or Y and UV; empty where the task takes no picture.
        sound: None where it takes no sound.
        failures: row → why it could not be decoded.
    """

    shape: BatchShape
    plans: list[Plan | None]
    pictures: tuple[Tensor, ...]
    sound: Tensor | None
    failures: dict[int, DecodeFailed] = field(default_factory=dict)

    def fail(self, row: int, error: DecodeFailed) -> None:
        """The row is done with."""
        self.failures[row], self.plans[row] = error, None

    def clear(self) -> None:
        """Zeros where nothing was decoded."""
        for row, plan in enumerate(self.plans):
            if plan is None:
                for values in self.tensors:
                    values[row].zero_()

    @property
    def tensors(self) -> Iterator[Tensor]:
        """Everything that has rows."""
        yield from self.pictures
        if self.sound is not None:
            yield self.sound


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
        return self.decode_together(samples, [plans], pixels=pixels)[0]

    def decode_together(
        self, samples: Sequence[EncodedSample], plans: Sequence[Sequence[Plan | None]], *, pixels: str = "rgb"
    ) -> list[Decoded]:
        """Decode all rows for all tasks; see `TogetherBackend.decode_together`."""
        only_rgb(self.name, pixels)
        views = []
        for shape, wanted in zip(batch_shapes(samples, plans), plans, strict=True):
            frames, sound = shape.blank(len(samples))
            views.append(View(shape, list(wanted), () if frames is None else (frames,), sound))
        check_views(self, samples, views)
        list(self._pool.map(lambda row: self._row(samples[row], row, views), range(len(samples))))
        return [_decoded(view) for view in views]

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _declines_video(self, video: Video) -> str | None:
        return None

    def _declines_image(self, image: Image) -> str | None:
        return f"{self.name} takes no still pictures; packets and dali do"

    def _pictures(self, sample: EncodedSample, shows: Sequence[Show]) -> None:
        """Write the frames of each plan, cropped to its window, RGB, to where they go."""
        wanted = shown_frames([plan for plan, _ in shows])
        pictures = self._frames(sample, wanted)
        for plan, out in shows:
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
        shows = [(plan, view.pictures[0][row].numpy()) for view in shown if (plan := view.plans[row])]
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
        spans = [plan.sound for view in heard if (plan := view.plans[row]) and plan.sound is not None]
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


def check_views(backend: RowBackend, samples: Sequence[EncodedSample], views: Sequence[View]) -> None:
    """Hold every row of every view against its sample before a byte is decoded; those that do not fit have failed."""
    for row, sample in enumerate(samples):
        declined = backend.declines(sample.sidecar)
        for view in views:
            if (plan := view.plans[row]) is None:
                continue
            try:
                check_row(sample, plan, view.shape, declined)
            except DecodeFailed as error:
                view.fail(row, failed(sample, backend.name, error))


def _decoded(view: View) -> Decoded:
    view.clear()
    frames = view.pictures[0] if view.pictures else None
    return Decoded(frames=frames, audio=view.sound, failures=view.failures)


def sound_member(sample: EncodedSample) -> memoryview:
    """The bytes of the sound. Raises DecodeFailed if they were not read."""
    audio = sample.sidecar.audio
    assert audio is not None, "check_row lets no sample without sound through"
    if audio.member not in sample.members:
        raise DecodeFailed(f"the member {audio.member} was not read")
    return sample.members[audio.member]
