"""Shards: the sample contract, how shards are written and read, and the catalogue of a data set."""

from unreel.shards.catalogue import Catalogue, Member, SampleRow, ShardIndex, compile_catalogue, identity_text
from unreel.shards.reader import EncodedSample, Reader
from unreel.shards.sample import Sidecar
from unreel.shards.writer import ShardWriter

__all__ = [
    "Catalogue",
    "EncodedSample",
    "Member",
    "Reader",
    "SampleRow",
    "ShardIndex",
    "ShardWriter",
    "Sidecar",
    "compile_catalogue",
    "identity_text",
]
