"""Still pictures: upright, baseline, no larger than asked; hostile ones are refused by name."""

import io
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from unreel.shards.border.limits import DEFAULT_LIMITS
from unreel.shards.errors import MediaRefused
from unreel.shards.making.pictures import fitted_size, is_baseline, open_picture, store_picture
from unreel.shards.making.profiles import PROFILES

PROFILE = PROFILES["images"]
ORIENTATION = 0x0112


def scene(width: int = 120, height: int = 80) -> Image.Image:
    """Red above, green left below, blue right below."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2] = (200, 30, 30)
    pixels[height // 2 :, : width // 2] = (30, 200, 30)
    pixels[height // 2 :, width // 2 :] = (30, 30, 200)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def stored(data: bytes, form: str = "JPEG", side: int = 256, copy: bool = True) -> bytes:
    profile = msgspec.structs.replace(PROFILE, picture_side=side, picture_copy=copy)
    with open_picture(data, form, DEFAULT_LIMITS) as picture:
        return store_picture(picture, fitted_size(*picture.size, profile), profile)[0]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_upright_whatever_exif_says(orientation: int) -> None:
    upright = scene()
    inverse = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    lying = upright if inverse is None else upright.transpose(inverse)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(lying, quality=95, exif=exif)
    result = stored(data)
    assert pixels(result).shape == (80, 120, 3)
    assert np.abs(pixels(result) - np.asarray(upright)).mean() < 3
    assert (result == data) == (orientation == 1)


def test_conforming_jpeg_is_kept_byte_for_byte_and_any_other_is_not() -> None:
    plain, progressive = encoded(scene()), encoded(scene(), progressive=True)
    assert stored(plain) == plain
    assert stored(plain, copy=False) != plain
    assert stored(progressive) != progressive
    for other in (encoded(scene().convert("L")), encoded(scene().convert("CMYK")), progressive):
        again = stored(other)
        assert again != other
        assert is_baseline(again)
        assert Image.open(io.BytesIO(again)).mode == "RGB"
    assert not is_baseline(progressive)
    assert not is_baseline(plain[:100])
    assert not is_baseline(b"")


def test_larger_picture_is_scaled_and_smaller_is_not() -> None:
    assert pixels(stored(encoded(scene(1200, 800)), side=100)).shape == (100, 150, 3)
    assert pixels(stored(encoded(scene(60, 40)), side=100)).shape == (40, 60, 3)
    reference = np.asarray(scene(1200, 800).resize((150, 100), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(pixels(stored(encoded(scene(1200, 800)), side=100)) - reference).mean() < 3


def test_transparency_lies_over_white_and_16_bit_grey_is_scaled() -> None:
    clear = scene().convert("RGBA")
    clear.putalpha(0)
    assert pixels(stored(encoded(clear, "PNG"), "PNG")).min() > 250
    ramp = np.linspace(0, 65_535, 64 * 64).astype(np.uint16).reshape(64, 64)
    grey = pixels(stored(encoded(Image.fromarray(ramp), "PNG"), "PNG"))
    assert np.abs(grey[..., 0] - (ramp >> 8)).mean() < 3


def test_hostile_pictures_are_refused_by_name(tmp_path: Path) -> None:
    data = encoded(scene())
    animated = encoded(scene(), "GIF", save_all=True, append_images=[scene().rotate(90)])
    # A PNG that claims 60,000 x 60,000 pixels in its header.
    claim = bytearray(encoded(scene(), "PNG"))
    claim[16:24] = (60_000).to_bytes(4, "big") * 2
    claim[29:33] = zlib.crc32(claim[12:29]).to_bytes(4, "big")
    cases = {
        "damaged": (data[: len(data) // 2], "JPEG"),
        "animated": (animated, "GIF"),
        "too-large": (bytes(claim), "PNG"),
        "too-small": (encoded(scene(200, 20)), "JPEG"),
        "too-wide": (encoded(scene(400, 40)), "JPEG"),
    }
    for reason, (content, form) in cases.items():
        with pytest.raises(MediaRefused) as refused:
            stored(content, form)
        assert refused.value.reason == reason
    # What the bytes are is known: nothing else is tried.
    with pytest.raises(MediaRefused, match="damaged"):
        stored(data, "PNG")
