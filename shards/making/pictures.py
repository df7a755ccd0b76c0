"""Still pictures: what a picture file is, and how it becomes one baseline JPEG, turned upright and no larger than asked."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from unreel.shards.border.limits import Limits
from unreel.shards.errors import MediaRefused
from unreel.shards.making.profiles import Profile
from unreel.shards.sample import Original

__all__ = ["StillPicture", "encode_jpeg", "fitted_size", "open_picture", "store_picture"]

_FAILURES: Final = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError)
# Markers of JPEG: start of frame of the baseline process, of any other process, and of the entropy-coded data.
_BASELINE, _SCAN = 0xC0, 0xDA
_OTHER_PROCESSES: Final = frozenset(range(0xC1, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what makes the picture upright."""
_DEGREES: Final = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
"""EXIF orientation → degrees clockwise that a viewer turns the picture."""
# Decoding a JPEG at an eighth, a quarter or half of its size is cheaper; twice the wanted size leaves the resize its work.
_DRAFT: Final = 2


class StillPicture:
    """An opened picture, not yet decoded."""

    def __init__(self, data: bytes, image: Image.Image) -> None:
        self.data, self._image = data, image
        self.orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
        """EXIF's 1 to 8; 1 is upright."""
        self._stored = width, height = image.size
        self.size = (height, width) if self.orientation >= 5 else (width, height)
        """(width, height) as displayed."""

    def describe(self) -> Original:
        """What the file is."""
        width, height = self._stored
        return Original(
            container=(self._image.format or "").lower(),
            width=width,
            height=height,
            pixel_format=self._image.mode,
            rotation=_DEGREES.get(self.orientation, 0),
        )

    def is_plain(self) -> bool:
        """True for an upright baseline JPEG in colour, which every decoder takes as it is."""
        return self.orientation == 1 and self._image.mode == "RGB" and is_baseline(self.data)

    def pixels(self, width: int, height: int) -> NDArray[np.uint8]:
        """The picture upright, over white where it is transparent, scaled: uint8 `[height, width, 3]`.

        A colour profile of the file is not applied.
        """
        if self.size != (width, height):
            self._image.draft("RGB", (_DRAFT * max(width, height),) * 2)
        upright = _in_colour(self._image)
        if self.orientation in _TURNS:
            upright = upright.transpose(_TURNS[self.orientation])
        if upright.size != (width, height):
            upright = upright.resize((width, height), Image.Resampling.LANCZOS)
        return np.asarray(upright)


@contextmanager
def open_picture(data: bytes, form: str, limits: Limits) -> Iterator[StillPicture]:
    """Open a picture whose format is known from its first bytes.

    Raises:
        MediaRefused: it is damaged, too large, or holds several pictures; also for what is met inside the context.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is a warning; ours is checked right after, before a pixel is decoded.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=[form]) as image:
                if image.width * image.height > limits.pixels:
                    raise limits.refusal("pixels", f"{image.width}x{image.height} pixels")
                if getattr(image, "is_animated", False) and image.format != "MPO":
                    raise MediaRefused("animated", "several pictures in one file; single ones are taken")
                yield StillPicture(data, image)
    except Image.DecompressionBombError as error:
        raise limits.refusal("pixels", str(error)) from error
    except _FAILURES as error:
        raise MediaRefused("damaged", f"opened as {form}: {error}") from error


def fitted_size(width: int, height: int, profile: Profile) -> tuple[int, int]:
    """(width, height) of the stored picture: the shorter side is the profile's, or its own where that is smaller.

    Raises:
        MediaRefused: it is too small or too wide for the profile.
    """
    shorter, longer = sorted((width, height))
    if shorter < profile.min_source_side:
        least = profile.min_source_side
        raise MediaRefused("too-small", f"{width}x{height}; the shorter side must be {least}")
    if longer > shorter * profile.max_aspect:
        raise MediaRefused(
            "too-wide", f"aspect {longer / shorter:.1f}; profile {profile.name} takes {profile.max_aspect}"
        )
    target = min(shorter, profile.picture_side)
    return round(width * target / shorter), round(height * target / shorter)


def store_picture(picture: StillPicture, size: tuple[int, int], profile: Profile) -> tuple[bytes, NDArray]:
    """(baseline JPEG, its pixels uint8 `[H, W, 3]`), byte for byte the source where the profile copies and it conforms."""
    pixels = picture.pixels(*size)
    if profile.picture_copy and picture.size == size and picture.is_plain():
        return picture.data, pixels
    return encode_jpeg(pixels, profile.picture_quality), pixels


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """uint8 `[H, W, 3]` → baseline JPEG, colour stored halved."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0", progressive=False)
    return buffer.getvalue()


def is_baseline(data: bytes) -> bool:
    """True where the first frame of a JPEG is of the baseline process: GPUs decode no other in hardware."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _BASELINE:
            return True
        if marker in _OTHER_PROCESSES or marker == _SCAN:
            return False
        # 0xFF may be repeated before a marker.
        place += 1 if marker == 0xFF else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False


def _in_colour(image: Image.Image) -> Image.Image:
    """The decoded picture as 8-bit RGB, with the orientation that it had."""
    if image.mode.startswith("I"):
        # 16 bits of grey; Pillow's own conversion would cut off all that is above 255.
        values = np.asarray(image).astype(np.uint32) >> 8
        return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        over = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")
