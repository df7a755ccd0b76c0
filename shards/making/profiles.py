"""Build profiles: what a source is turned into. A profile is data; changing any field changes its digest."""

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, Literal

import msgspec

from unreel.shards.making.codecs import CODECS, codec_options
from unreel.shards.sample import STEP_RATE

__all__ = ["DEFAULT_PROFILE", "PROFILES", "Profile"]

# Opus has no other clock: whatever its encoder was given, decoders give 48 kHz.
_OPUS_RATE: Final = 48_000


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """How clips are cut, scaled and encoded.

    The picture: rotation and sample aspect are applied, a stable letterbox is cut off, the shorter side becomes `side`,
    the longer keeps the aspect, and both are rounded to multiples of `multiple`. Nothing is padded.

    The sound: resampled to `audio_rate` and mixed to `audio_channels` by FFmpeg's default matrix (stereo to mono is the
    mean of both; centre and surround channels enter with -3 dB, the bass channel not at all, and the whole is scaled so
    that nothing clips). Loudness is not touched.

    Raises:
        ValueError: a field is out of range, by name, with what is allowed.
    """

    name: str
    videos: Literal["clips", "frames", "sound", "skip"] = "clips"
    """What becomes of a source with a moving picture: clips, still pictures taken from it, clips of its sound alone."""
    sounds: Literal["clips", "skip"] = "skip"
    """What becomes of a source without a moving picture: clips of sound."""
    pictures: Literal["store", "skip"] = "skip"
    """What becomes of a still picture: one baseline JPEG."""
    codec: Literal["h264", "hevc", "vp9", "mjpeg"] = "h264"
    """FFmpeg's name of the stored codec."""
    quality: int | None = None
    """Constant quality on the codec's own scale, smaller is better: CRF, for mjpeg the quantiser; None: the codec's
    default in `codecs.CODECS`."""
    matrix: Literal["bt709", "smpte170m"] = "bt709"
    """YUV matrix of the stored picture, converted to and tagged; the range is limited."""
    gop: int = 16
    """Distance of two key frames: 16-frame random access costs a quarter of GOP 250 for 7 % more bytes."""
    copy: Literal["never", "when-conforming"] = "never"
    """`when-conforming`: a picture that already is what the profile stores is copied packet by packet, see docs/profiles.md."""
    side: int = 128
    multiple: int = 16
    max_rate: int = 30
    """Frames per second that are not exceeded: faster sources give every n-th frame."""
    variable_rates: tuple[tuple[int, int], ...] = ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1))
    """A source of variable rate becomes the nearest of these."""
    frame_seconds: float = 1.0
    """Where videos give still pictures, one is taken every so many seconds, rounded to whole frames."""
    picture_side: int = 256
    """The shorter side of a still picture, if its source is not smaller; both sides are whole numbers, nothing is cut."""
    picture_quality: int = 90
    """Of JPEG, as libjpeg counts it; larger is better. Colour is stored halved (4:2:0)."""
    picture_copy: bool = False
    """A baseline JPEG that needs no change is stored byte for byte, with all that its maker wrote into it."""
    audio_codec: Literal["flac", "opus"] = "flac"
    audio_rate: int = 48_000
    audio_channels: Literal[1, 2] = 1
    audio_kbps: int = 64
    """Mean rate of Opus, all channels together; FLAC has none."""
    clip_seconds: float = 10.0
    """Longest clip; a source is cut from its start into clips of this length."""
    min_seconds: float = 1.0
    """A shorter rest at the end of a source is dropped and counted; a shorter source is skipped."""
    scenes: bool = False
    """No clip goes over a cut: it ends there, and the next one begins."""
    clips_per_source: int | None = None
    """At most so many clips (or pictures taken) of one source, evenly spread over it; None: all."""
    bytes_per_second: int = 39_000
    """Expected size, picture and sound, by which sources are grouped into shards before anything is decoded."""
    bytes_per_sound_second: int = 24_000
    """The same, of a source without a moving picture."""
    bytes_per_picture: int = 25_000
    """The same, of a still picture."""
    cut_threshold: float = 10.0
    """Score of FFmpeg's `scdet` from which a frame starts a new scene."""
    silence_level: float = -60.0
    """dBFS below which every sample of a silent span stays."""
    silence_seconds: float = 0.25
    """Shortest span that counts as silence."""
    min_source_side: int = 32
    """Sources whose shorter side is smaller hold too little picture to be scaled up."""
    max_aspect: float = 4.0

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            _demand(self, field, getattr(self, field) in choices, ", ".join(map(str, choices)))
        for field, (least, most) in _RANGES.items():
            _demand(self, field, least <= getattr(self, field) <= most, f"{least} to {most}")
        _check_together(self)

    @property
    def digest(self) -> str:
        """16 hex digits that change with any field, and with what the fields mean to the encoder."""
        # Read back first: 2 and 2.0 seconds are one profile, and a worker is sent the latter.
        typed = msgspec.json.decode(msgspec.json.encode(self), type=Profile)
        meaning = (typed, CODECS[self.codec].encoder, self.encoder_options)
        return hashlib.blake2b(msgspec.json.encode(meaning, order="sorted"), digest_size=8).hexdigest()

    @property
    def encoder_options(self) -> dict[str, str]:
        """Options of the picture's encoder."""
        return codec_options(self.codec, gop=self.gop, quality=self.quality)

    def picture_stride(self, rate: Fraction) -> int:
        """Of frames at `rate` frames a second, every so many-th becomes a sample of its own; 1 where clips are stored."""
        return max(1, round(Fraction(self.frame_seconds) * rate)) if self.videos == "frames" else 1

    def clip_frames(self, rate: Fraction) -> int:
        """Frames in the longest clip at `rate` frames a second, at least 1."""
        return max(1, int(Fraction(self.clip_seconds).limit_denominator(1000) * rate))

    def min_frames(self, rate: Fraction) -> int:
        """Frames in the shortest clip at `rate` frames a second, at least 1."""
        return max(1, round(Fraction(self.min_seconds).limit_denominator(1000) * rate))


_CHOICES: Final[Mapping[str, tuple[str | int, ...]]] = {
    "videos": ("clips", "frames", "sound", "skip"),
    "sounds": ("clips", "skip"),
    "pictures": ("store", "skip"),
    "codec": tuple(CODECS),
    "matrix": ("bt709", "smpte170m"),
    "copy": ("never", "when-conforming"),
    "audio_codec": ("flac", "opus"),
    "audio_channels": (1, 2),
}
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "gop": (1, 600),
    "side": (16, 2160),
    "multiple": (2, 64),
    "max_rate": (1, 120),
    "frame_seconds": (0.001, 86_400),
    "picture_side": (16, 4096),
    "picture_quality": (1, 100),
    "audio_rate": (8_000, 192_000),
    "audio_kbps": (6, 510),
    "clip_seconds": (0.04, 3600),
    "min_seconds": (0.04, 3600),
    "bytes_per_second": (1, 1 << 30),
    "bytes_per_sound_second": (1, 1 << 30),
    "bytes_per_picture": (1, 1 << 30),
    "cut_threshold": (0.1, 100),
    "silence_level": (-120, 0),
    "silence_seconds": (0.001, 3600),
    "min_source_side": (1, 1 << 14),
    "max_aspect": (1, 100),
}


def _demand(profile: Profile, field: str, kept: bool, allowed: str) -> None:
    if not kept:
        raise ValueError(f"profile {profile.name}: {field} {getattr(profile, field)!r}: allowed is {allowed}")


def _check_together(profile: Profile) -> None:
    """What one field allows depends on another."""
    codec = CODECS[profile.codec]
    fits = profile.quality is None or codec.best <= profile.quality <= codec.worst
    _demand(profile, "quality", fits, f"{codec.best} to {codec.worst} for codec {profile.codec}")
    _demand(profile, "gop", profile.gop == 1 or not codec.all_key, f"1 for codec {profile.codec}")
    _demand(profile, "multiple", profile.multiple % 2 == 0, "an even number, since colour is stored halved")
    known = profile.audio_codec != "opus" or profile.audio_rate == _OPUS_RATE
    _demand(profile, "audio_rate", known, f"{_OPUS_RATE} for Opus; other rates need audio_codec flac")
    whole = profile.audio_rate % STEP_RATE == 0
    _demand(profile, "audio_rate", whole, f"a multiple of {STEP_RATE}: facts are counted in steps of 40 ms")
    clips = profile.videos == "clips" and profile.codec in ("h264", "hevc") and not profile.scenes
    _demand(
        profile,
        "copy",
        profile.copy == "never" or clips,
        "never, unless videos become clips of h264 or hevc and scenes is off",
    )
    cap = profile.clips_per_source
    _demand(profile, "clips_per_source", cap is None or cap >= 1, "1 or more, or to leave it out")
    shortest = profile.min_seconds
    _demand(profile, "clip_seconds", profile.clip_seconds >= shortest, f"{shortest} (min_seconds) or more")


def _named(*profiles: Profile) -> Mapping[str, Profile]:
    return {profile.name: profile for profile in profiles}


PROFILES: Final = _named(
    Profile(name="clips-128"),
    Profile(name="clips-256", side=256, bytes_per_second=80_000),
    Profile(name="clips-128-hevc", codec="hevc", bytes_per_second=36_000),
    # For DALI's CPU decoder, which has neither H.264 nor BT.709: it converts as BT.601 whatever the tag says.
    Profile(name="clips-128-vp9", codec="vp9", matrix="smpte170m"),
    Profile(name="clips-128-mjpeg", codec="mjpeg", matrix="smpte170m", gop=1, bytes_per_second=180_000),
    Profile(name="frames", videos="frames", side=256, bytes_per_second=25_000),
    Profile(name="sound", videos="sound", sounds="clips", min_seconds=0.24, bytes_per_second=24_000),
    Profile(name="images", videos="skip", pictures="store", picture_copy=True),
    Profile(name="mixed", sounds="clips", pictures="store", picture_copy=True),
)
"""The profiles that a name stands for."""

DEFAULT_PROFILE: Final = "clips-128"
