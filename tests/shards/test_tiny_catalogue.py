"""The tiny data set keeps the contract that it stands for."""

import io
from fractions import Fraction

import av
import numpy as np

from unreel.shards.catalogue import Catalogue
from unreel.shards.reader import Reader
from unreel.shards.sample import audio_length


def test_tiny_catalogue_keeps_the_contract(tiny_catalogue: Catalogue) -> None:
    reader = Reader(tiny_catalogue)
    assert len(tiny_catalogue) == 36
    for shard, ordinal, row in tiny_catalogue.rows():
        sample = reader.read(shard, ordinal)
        video, audio = sample.sidecar.video, sample.sidecar.audio
        assert video is not None and len(video.packets.offsets) == video.frames == row.frames
        assert np.array_equal(video.packets.key_frames, np.arange(0, video.frames, 16))
        assert len(sample.sidecar.facts.motion_curve) == len(sample.sidecar.track("x")) == video.frames
        assert row.motion > 1
        if audio is not None:
            assert audio.samples == audio_length(video.frames, audio.rate, Fraction(*video.rate))
            assert row.sound == 0.75
            with av.open(io.BytesIO(sample.members["flac"])) as container:
                stream = container.streams.audio[0]
                decoded = np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)
                assert (stream.rate, stream.format.name, decoded.shape) == (48_000, "s16", (1, audio.samples))


def test_packet_table_points_at_the_packets(tiny_catalogue: Catalogue) -> None:
    sample = Reader(tiny_catalogue).read(0, 0)
    assert sample.sidecar.video is not None
    table = sample.sidecar.video.packets
    with av.open(io.BytesIO(sample.members["mp4"])) as container:
        for packet, offset, size in zip(container.demux(video=0), table.offsets, table.sizes, strict=False):
            assert bytes(packet) == bytes(sample.members["mp4"][offset : offset + size])
