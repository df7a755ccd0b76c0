"""torchcodec on CPU: any container, through the system's FFmpeg libraries. A reference and a fallback."""

from typing import ClassVar

import numpy as np
import torchcodec
from numpy.typing import NDArray
from torchcodec.decoders import VideoDecoder

from unreel.pipelines.decode.rows import RowBackend
from unreel.shards.errors import DecodeFailed
from unreel.shards.reader import EncodedSample

__all__ = ["Torchcodec"]


class Torchcodec(RowBackend):
    """A torchcodec decoder for each sample, one thread each."""

    name: ClassVar[str] = "torchcodec"
    errors: ClassVar[tuple[type[Exception], ...]] = (DecodeFailed, RuntimeError, ValueError, IndexError)

    @property
    def version(self) -> str:
        return f"torchcodec {torchcodec.__version__}"

    def _frames(self, sample: EncodedSample, indices: NDArray[np.int32]) -> NDArray[np.uint8]:
        video = sample.sidecar.video
        assert video is not None
        decoder = VideoDecoder(
            bytes(sample.members[video.member]),
            dimension_order="NHWC",
            num_ffmpeg_threads=1,
            # Constant rate is part of the contract, so an index is a time and nothing has to be scanned.
            seek_mode="approximate",
        )
        if decoder.metadata.num_frames != video.frames:
            raise DecodeFailed(
                f"torchcodec counts {decoder.metadata.num_frames} frames, the sidecar {video.frames}"
            )
        return decoder.get_frames_at(indices.tolist()).data.numpy()
