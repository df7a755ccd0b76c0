"""Codec headers in band."""

import pytest

from tests.pipelines.decode.conftest import Clip
from unreel.pipelines.decode.headers import in_band_header
from unreel.shards.errors import DecodeFailed

# profile 66, NAL lengths of 4 bytes, one SPS of 3 bytes and two PPS of 2 and 1 bytes
AVCC = bytes.fromhex("014200 1e ff e1 0003 674200 02 0002 68ce 0001 68")


def test_parameter_sets_of_an_avcc_record() -> None:
    header = in_band_header("h264", AVCC)
    assert header.length_size == 4
    assert header.in_band.hex(" ", 1) == "00 00 00 03 67 42 00 00 00 00 02 68 ce 00 00 00 01 68"


def test_lengths_are_written_in_the_size_of_the_record() -> None:
    header = in_band_header("h264", AVCC[:4] + b"\xfd" + AVCC[5:])
    assert header.length_size == 2
    assert header.in_band.startswith(b"\x00\x03\x67")


@pytest.mark.parametrize("length", [1, 3, 5, 7, 9, 12, len(AVCC) - 1])
def test_a_record_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(DecodeFailed, match="cut short"):
        in_band_header("h264", AVCC[:length])


def test_every_clip_has_its_sets_in_its_header(mixed: list[Clip]) -> None:
    for clip in mixed:
        header = in_band_header("h264", clip.sample.sidecar.video.extradata)
        assert header.in_band[4] & 31 == 7, "the sequence parameter set comes first"


@pytest.mark.parametrize("codec", ["vp9", "mjpeg"])
def test_codecs_that_describe_themselves_need_no_header(codec: str) -> None:
    assert in_band_header(codec, b"").in_band == b""
