"""The sidecar: what is written is read, newer minors are read, newer majors are refused by name."""

from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unreel.shards.errors import ShardError
from unreel.shards.sample import (
    COLUMN_DTYPES,
    Audio,
    Facts,
    Original,
    Packets,
    Sidecar,
    Source,
    Video,
    audio_length,
    check_key,
    frame_to_audio,
    pack_column,
    read_sidecar,
    write_sidecar,
)

SAMPLE = Sidecar(key="a-1", source=Source(id="00", name="a.mp4"))

small = st.integers(0, 2**31)
texts = st.text(max_size=12)
packed = st.binary(max_size=40)
labels = st.one_of(texts, st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
sidecars = st.builds(
    Sidecar,
    key=st.from_regex(r"[a-z0-9_-]+", fullmatch=True),
    source=st.builds(Source, id=texts, name=texts, start_frame=small, split=st.none() | texts),
    video=st.none()
    | st.builds(
        Video,
        codec=texts,
        width=small,
        height=small,
        frames=small,
        rate=st.tuples(small, small),
        matrix=texts,
        gop=small,
        extradata=packed,
        packets=st.builds(Packets, offset=packed, size=packed, key=packed),
    ),
    audio=st.none() | st.builds(Audio, codec=texts, rate=small, channels=small, samples=small),
    facts=st.builds(
        Facts,
        motion=packed,
        cuts=st.lists(small).map(tuple),
        silence=st.lists(st.tuples(small, small)).map(tuple),
        content_box=st.none() | st.tuples(small, small, small, small),
    ),
    original=st.none() | st.builds(Original, container=texts, rate=st.none() | st.tuples(small, small)),
    labels=st.dictionaries(texts, labels, max_size=3),
    tracks=st.dictionaries(texts, packed, max_size=2),
)


@given(sidecars)
def test_what_is_written_is_read(sidecar: Sidecar) -> None:
    data = write_sidecar(sidecar)
    assert read_sidecar(data) == read_sidecar(memoryview(data)) == sidecar
    assert write_sidecar(read_sidecar(data)) == data


@pytest.mark.parametrize("name", COLUMN_DTYPES)
@given(data=st.data())
def test_columns_are_little_endian_arrays(name: str, data: st.DataObject) -> None:
    dtype = np.dtype(COLUMN_DTYPES[name])
    values = data.draw(
        hnp.arrays(dtype, st.integers(0, 20), elements={"allow_nan": False} if dtype.kind == "f" else None)
    )
    assert np.array_equal(np.frombuffer(pack_column(name, values), dtype), values)
    assert pack_column(name, values.astype(dtype.newbyteorder(">"))) == pack_column(name, values)


def _with(**changes: object) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(write_sidecar(SAMPLE)), **changes})


def test_newer_minor_with_unknown_fields_is_read() -> None:
    assert read_sidecar(_with(schema="1.7", smell="none")).key == "a-1"


@pytest.mark.parametrize("schema", ["2.0", "17.3"])
def test_newer_major_is_refused_by_name(schema: str) -> None:
    major = schema.split(".")[0]
    with pytest.raises(ShardError, match=rf"schema {major}\.x is newer than this reader \(1\.x\): update"):
        read_sidecar(_with(schema=schema, key=["of", "another", "form"]))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff\xfe", _with(key=3), _with(schema="one")])
def test_what_is_no_sidecar_is_refused(data: bytes) -> None:
    with pytest.raises(ShardError, match="not a sidecar"):
        read_sidecar(data)


@pytest.mark.parametrize("key", ["", "a.b", "../a", "A", "a b", "a/b", "a\n", "ä"])
def test_keys_are_never_paths(key: str) -> None:
    with pytest.raises(ValueError, match="allowed are a-z"):
        check_key(key)


@given(
    st.integers(0, 10**6),
    st.sampled_from([16_000, 44_100, 48_000]),
    st.sampled_from([24, 25, 30, 60]),
    st.booleans(),
)
def test_sound_ends_with_the_picture(frames: int, audio_rate: int, fps: int, ntsc: bool) -> None:
    rate = Fraction(fps * 1000, 1001) if ntsc else Fraction(fps)
    exact = frames * audio_rate / rate
    assert abs(audio_length(frames, audio_rate, rate) - exact) <= Fraction(1, 2)
    assert frame_to_audio(0, audio_rate, rate) == 0


def test_half_samples_round_to_even() -> None:
    assert [frame_to_audio(frame, 1, Fraction(2)) for frame in (1, 3, 5)] == [0, 2, 2]


def test_seconds_are_of_the_picture_where_there_is_one() -> None:
    assert SAMPLE.seconds == 0.0
    sound = msgspec.structs.replace(SAMPLE, audio=Audio(codec="flac", rate=100, channels=1, samples=250))
    assert sound.seconds == 2.5


def test_tracks_are_float32_and_missing_ones_raise() -> None:
    sidecar = msgspec.structs.replace(SAMPLE, tracks={"x": pack_column("track", np.array([0.5, 1.5]))})
    assert sidecar.track("x").tolist() == [0.5, 1.5]
    with pytest.raises(KeyError):
        sidecar.track("y")
