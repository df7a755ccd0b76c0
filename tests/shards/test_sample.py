"""The sidecar: what is written is read, newer minors are read, newer majors are refused by name."""

from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unreel.shards.care.migrations import upgrade_sidecar
from unreel.shards.errors import ShardError
from unreel.shards.sample import (
    COLUMN_DTYPES,
    SCHEMA,
    Audio,
    Facts,
    Image,
    Original,
    Packets,
    Segment,
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
signed = st.integers(-(2**40), 2**40)
boxes = st.none() | st.tuples(small, small, small, small)
names = st.none() | texts
sidecars = st.builds(
    Sidecar,
    key=st.from_regex(r"[a-z0-9_-]+", fullmatch=True),
    source=st.builds(
        Source,
        id=texts,
        name=texts,
        start_frame=small,
        split=names,
        span_us=st.none() | st.tuples(signed, signed),
        licence=names,
        takedown_id=names,
    ),
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
        b_frames=st.booleans(),
        extradata=packed,
        copied=st.booleans(),
        packets=st.builds(Packets, offset=packed, size=packed, key=packed),
    ),
    audio=st.none() | st.builds(Audio, codec=texts, rate=small, channels=small, samples=small),
    image=st.none() | st.builds(Image, codec=texts, width=small, height=small),
    facts=st.builds(
        Facts,
        measured=st.lists(texts, max_size=3).map(tuple),
        motion=packed,
        luma=packed,
        loudness=packed,
        cuts=st.lists(small).map(tuple),
        silence=st.lists(st.tuples(small, small)).map(tuple),
        content_box=boxes,
        overlay_box=boxes,
        hashes=packed,
    ),
    original=st.none()
    | st.builds(
        Original,
        container=texts,
        rate=st.none() | st.tuples(small, small),
        gop=small,
        b_frames=st.booleans(),
        video_bit_rate=small,
    ),
    transcript=st.lists(st.builds(Segment, start_ms=signed, stop_ms=signed, text=texts), max_size=2).map(
        tuple
    ),
    language=names,
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


def _grown(value: object, where: str = "") -> object:
    """A document with a field that nobody knows in every object of the contract."""
    if isinstance(value, list):
        return [_grown(one, where) for one in value]
    if not isinstance(value, dict) or where in ("labels", "tracks"):
        return value
    return {**{name: _grown(one, name) for name, one in value.items()}, "smell": [1, {"of": "roses"}]}


@given(sidecars)
def test_newer_minors_are_read_whatever_they_have_learnt(sidecar: Sidecar) -> None:
    document = {**msgspec.json.decode(write_sidecar(sidecar)), "schema": "1.99"}
    found = read_sidecar(msgspec.json.encode(_grown(document)))
    assert msgspec.structs.replace(found, schema=sidecar.schema) == sidecar


@given(sidecars)
def test_writing_anew_what_is_current_changes_nothing(sidecar: Sidecar) -> None:
    data = write_sidecar(sidecar)
    assert write_sidecar(upgrade_sidecar(data)) == data


LATER = {
    "Sidecar": ("image", "transcript", "language"),
    "source": ("span_us",),
    "video": ("copied",),
    "facts": ("measured", "overlay_box", "hashes"),
    "original": ("gop", "b_frames", "video_bit_rate", "audio_bit_rate"),
}
"""Fields that came with 1.1."""


@given(sidecars)
def test_sidecars_of_1_0_are_read_and_later_fields_have_their_defaults(sidecar: Sidecar) -> None:
    document = {**msgspec.json.decode(write_sidecar(sidecar)), "schema": "1.0"}
    for part, later in LATER.items():
        fields = document if part == "Sidecar" else document.get(part) or {}
        for name in later:
            fields.pop(name, None)
    old = read_sidecar(msgspec.json.encode(document))
    assert (old.image, old.transcript, old.language, old.source.span_us) == (None, (), None, None)
    assert (old.facts.measured, old.facts.overlay_box, old.facts.hash_words.tolist()) == ((), None, [])
    assert (old.facts.motion, old.labels, old.tracks) == (
        sidecar.facts.motion,
        sidecar.labels,
        sidecar.tracks,
    )
    new = upgrade_sidecar(msgspec.json.encode(document))
    assert new.schema == "{}.{}".format(*SCHEMA)
    listed = {"motion"} if sidecar.facts.motion else set()
    assert {"motion"} & set(new.facts.measured) == listed
    same = msgspec.structs.replace(new, schema=old.schema, facts=old.facts)
    assert same == old


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
