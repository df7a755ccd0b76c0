"""The encoders of moving pictures: what each needs so that its packets keep the contract, and its scale of quality."""

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["CODECS", "Codec", "codec_options"]


class Codec(NamedTuple):
    """How one codec is written. Every encoder runs on one thread, since x264's bytes depend on the thread count."""

    encoder: str
    """FFmpeg's name of it."""
    options: Mapping[str, str]
    """What does not depend on the profile: no B-frames, closed GOPs, key frames only where they are due, no versions."""
    quality: tuple[str, ...]
    """Options that take the quality."""
    default: int
    """Quality without further wishes; smaller is better and larger."""
    best: int
    worst: int
    all_key: bool = False
    """Every frame is a key frame, whatever the profile's `gop`."""


CODECS: Final[Mapping[str, Codec]] = {
    "h264": Codec(
        encoder="libx264",
        options={
            # 150 KB for 10 s of 224x128; slower presets cost two to three times the CPU for the same picture.
            "preset": "veryfast",
            "bf": "0",
            "flags": "+cgop+bitexact",
            # A key frame at a scene cut would shift the grid that plans count on.
            "sc_threshold": "0",
            # The same bytes whatever vector units the processor has.
            "x264-params": "cpu-independent=1:open-gop=0",
        },
        quality=("crf",),
        default=21,
        best=0,
        worst=51,
    ),
    "hevc": Codec(
        encoder="libx265",
        options={
            "preset": "veryfast",
            "bf": "0",
            "flags": "+cgop+bitexact",
            # Its own threads, its version and its settings stay out of the stream.
            "x265-params": "pools=none:frame-threads=1:wpp=0:open-gop=0:scenecut=0:info=0:log-level=none",
        },
        quality=("crf",),
        default=23,
        best=0,
        worst=51,
    ),
    "vp9": Codec(
        encoder="libvpx-vp9",
        options={
            "b": "0",
            "flags": "+bitexact",
            "deadline": "good",
            "cpu-used": "5",
            "row-mt": "0",
            # No hidden frames: each packet is one picture.
            "auto-alt-ref": "0",
            "lag-in-frames": "0",
        },
        quality=("crf",),
        default=32,
        best=0,
        worst=63,
    ),
    "mjpeg": Codec(
        encoder="mjpeg",
        options={"strict": "unofficial", "flags": "+bitexact"},
        quality=("qmin", "qmax"),
        default=4,
        best=2,
        worst=31,
        all_key=True,
    ),
}
"""FFmpeg's name of a codec → how it is written."""


def codec_options(name: str, *, gop: int, quality: int | None) -> dict[str, str]:
    """All options of the encoder of codec `name`; quality None is the codec's default."""
    codec = CODECS[name]
    value = str(codec.default if quality is None else quality)
    # Equal distances, or VP9 would put key frames where it likes between them.
    distance = {"g": str(gop), "keyint_min": str(gop)}
    return {**codec.options, **distance, **dict.fromkeys(codec.quality, value)}
