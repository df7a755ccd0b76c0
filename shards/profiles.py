"""Build profiles: what a source is turned into. A profile is data; changing any field changes its digest."""

import hashlib
from fractions import Fraction
from typing import Final

import msgspec

__all__ = ["DEFAULT_PROFILE", "PROFILES", "Profile", "find_profile"]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How clips are cut, scaled and encoded.

    The picture: rotation and sample aspect are applied, a stable letterbox is cut off, the shorter side becomes `side`,
    the longer keeps the aspect, and both are rounded to multiples of `multiple`. Nothing is padded.
    """

    name: str
    codec: str
    """FFmpeg's name of the stored codec."""
    encoder: str
    """FFmpeg's name of the encoder; it always runs on one thread, since x264's bytes depend on the thread count."""
    encoder_options: dict[str, str]
    matrix: str
    """YUV matrix of the stored picture, converted to and tagged: `bt709` or `smpte170m`; the range is limited."""
    gop: int = 16
    """Distance of two key frames: 16-frame random access costs a quarter of GOP 250 for 7 % more bytes."""
    side: int = 128
    multiple: int = 16
    max_rate: int = 30
    """Frames per second that are not exceeded: faster sources give every n-th frame."""
    variable_rates: tuple[tuple[int, int], ...] = ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1))
    """A source of variable rate becomes the nearest of these."""
    audio_rate: int = 48_000
    clip_seconds: float = 10.0
    """Longest clip; a source is cut from its start into clips of this length."""
    min_seconds: float = 1.0
    """A shorter rest at the end of a source is dropped and counted; a shorter source is skipped."""
    bytes_per_second: int = 39_000
    """Expected size, picture and sound, by which sources are grouped into shards before anything is decoded."""
    cut_threshold: float = 10.0
    """Score of FFmpeg's `scdet` from which a frame starts a new scene."""
    silence_level: float = -60.0
    """dBFS below which every sample of a silent span stays."""
    silence_seconds: float = 0.25
    """Shortest span that counts as silence."""
    min_source_side: int = 32
    """Sources whose shorter side is smaller hold too little picture to be scaled up."""
    max_aspect: float = 4.0
    max_pixels: int = 8192 * 8192
    """A source's picture may not be larger: a 14 KB file can ask for gigabytes of memory."""
    max_seconds: float = 6 * 3600.0

    def __post_init__(self) -> None:
        if self.clip_seconds < self.min_seconds:
            raise ValueError(
                f"clip_seconds {self.clip_seconds}: allowed is {self.min_seconds} (min_seconds) or more"
            )

    @property
    def digest(self) -> str:
        """16 hex digits that change with any field."""
        return hashlib.blake2b(msgspec.json.encode(self, order="sorted"), digest_size=8).hexdigest()

    def clip_frames(self, rate: Fraction) -> int:
        """Frames in the longest clip at `rate` frames a second, at least 1."""
        return max(1, int(Fraction(self.clip_seconds).limit_denominator(1000) * rate))

    def min_frames(self, rate: Fraction) -> int:
        """Frames in the shortest clip at `rate` frames a second, at least 1."""
        return max(1, round(Fraction(self.min_seconds).limit_denominator(1000) * rate))


_H264: Final = {
    # 150 KB for 10 s of 224x128; slower presets cost two to three times the CPU for the same picture.
    "preset": "veryfast",
    "crf": "21",
    "bf": "0",
    "flags": "+cgop+bitexact",
    "keyint_min": "16",
    # Key frames only where they are due: a key frame at a scene cut would shift the grid that plans count on.
    "sc_threshold": "0",
    # The same bytes whatever vector units the processor has.
    "x264-params": "cpu-independent=1:open-gop=0",
}

_VP9: Final = {
    "b": "0",
    "crf": "32",
    "flags": "+bitexact",
    "deadline": "good",
    "cpu-used": "5",
    "row-mt": "0",
    # No hidden frames: each packet is one picture.
    "auto-alt-ref": "0",
    "lag-in-frames": "0",
    "keyint_min": "16",
}

_MJPEG: Final = {"qmin": "4", "qmax": "4", "strict": "unofficial", "flags": "+bitexact"}

PROFILES: Final = {
    "clips-128": Profile(
        name="clips-128", codec="h264", encoder="libx264", encoder_options=_H264, matrix="bt709"
    ),
    # For DALI's CPU decoder, which has neither H.264 nor BT.709: it converts as BT.601 whatever the tag says.
    "clips-128-vp9": Profile(
        name="clips-128-vp9", codec="vp9", encoder="libvpx-vp9", encoder_options=_VP9, matrix="smpte170m"
    ),
    "clips-128-mjpeg": Profile(
        name="clips-128-mjpeg",
        codec="mjpeg",
        encoder="mjpeg",
        encoder_options=_MJPEG,
        matrix="smpte170m",
        gop=1,
        bytes_per_second=180_000,
    ),
}
"""The profiles that a name stands for."""

DEFAULT_PROFILE: Final = "clips-128"


def find_profile(profile: str | Profile, *, clip_seconds: float | None = None) -> Profile:
    """The profile of a name, with another clip length if one is given.

    Raises:
        ValueError: there is no such profile, or the clip length is too short.
    """
    if isinstance(profile, str):
        if profile not in PROFILES:
            raise ValueError(f"profile {profile!r}: there are {', '.join(PROFILES)}")
        profile = PROFILES[profile]
    return profile if clip_seconds is None else msgspec.structs.replace(profile, clip_seconds=clip_seconds)
