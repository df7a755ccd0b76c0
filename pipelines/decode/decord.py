"""decord on CPU: any container, its own FFmpeg. A reference and a fallback."""

import io
from typing import ClassVar

import decord
import numpy as np
from numpy.typing import NDArray

from unreel.pipelines.decode.rows import RowBackend
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample
from unreel.shards.sample import Video

__all__ = ["Decord"]


class Decord(RowBackend):
    """A decord reader for each sample, one thread each."""

    name: ClassVar[str] = "decord"
    errors: ClassVar[tuple[type[Exception], ...]] = (DecodeFailed, decord.DECORDError, RuntimeError)

    @property
    def version(self) -> str:
        return f"decord {decord.__version__}"

    def _declines_video(self, video: Video) -> str | None:
        return None

    def _frames(self, sample: EncodedSample, indices: NDArray[np.int32]) -> NDArray[np.uint8]:
        video = sample.sidecar.video
        assert video is not None
        reader = decord.VideoReader(io.BytesIO(sample.members[video.member]), decord.cpu(0), num_threads=1)
        if len(reader) != video.frames:
            raise DecodeFailed(f"decord counts {len(reader)} frames, the sidecar {video.frames}")
        # Ascending and without repeats: decord seeks back for every step down.
        return reader.get_batch(indices).asnumpy()
