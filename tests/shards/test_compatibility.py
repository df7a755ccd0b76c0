"""Our shards through the readers of others, and theirs through ours."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import tiny_sample
from unreel.shards.care.verify import verify
from unreel.shards.catalogue import Catalogue
from unreel.shards.foreign.indexing import index_folder
from unreel.shards.reader import Reader
from unreel.shards.sample import read_sidecar

Payloads = list[dict[str, bytes]]


@pytest.fixture(scope="module")
def ours(tiny_catalogue: Catalogue) -> Payloads:
    """What our reader gives of the first shard."""
    reader = Reader(tiny_catalogue)
    samples = (reader.read(0, ordinal) for ordinal in range(int(tiny_catalogue.counts[0])))
    return [{name: bytes(view) for name, view in sample.members.items()} for sample in samples]


# WebDataset leaves the tar to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_our_shards(tiny_catalogue: Catalogue, ours: Payloads) -> None:
    webdataset = pytest.importorskip("webdataset")
    # No decoders: WebDataset's own would open members that can run code, in shards of others.
    found = list(webdataset.WebDataset(str(tiny_catalogue.path(0)), shardshuffle=False))
    assert [{name: one[name] for name in one if not name.startswith("__")} for one in found] == ours
    assert [one["__key__"] for one in found] == [read_sidecar(one["json"]).key for one in ours]


def test_dali_reads_our_shards_with_our_index(tiny_catalogue: Catalogue, ours: Payloads) -> None:
    pytest.importorskip("nvidia.dali")
    tar = tiny_catalogue.path(0)
    assert dali(tar, tar.with_suffix(".idx"), ("json", "mp4"), len(ours)) == [
        (one["json"], one["mp4"]) for one in ours
    ]


def test_dali_reads_tars_of_others_with_our_index(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    pytest.importorskip("nvidia.dali")
    samples = [{"mp4": tiny_sample(number)[1]["mp4"], "json": b'{"n": %d}' % number} for number in range(3)]
    with webdataset.TarWriter(str(tmp_path / "t.tar")) as sink:
        for number, members in enumerate(samples):
            sink.write({"__key__": f"Clips/No {number}", **members})
    assert index_folder(tmp_path).samples == 3
    found = dali(tmp_path / "t.tar", tmp_path / "t.idx", ("mp4", "json"), 3)
    assert found == [(one["mp4"], one["json"]) for one in samples]
    reader = Reader(Catalogue.open(tmp_path))
    assert [bytes(reader.read(0, at).members["mp4"]) for at in range(3)] == [one["mp4"] for one in samples]
    assert verify(tmp_path, mode="full").clean


def dali(tar: Path, index: Path, extensions: tuple[str, ...], count: int) -> list[tuple[bytes, ...]]:
    """What DALI's reader gives of a tar, in its order."""
    from nvidia.dali import fn, pipeline_def

    @pipeline_def(batch_size=count, num_threads=1, device_id=None)
    def graph() -> object:
        return tuple(fn.readers.webdataset(paths=[str(tar)], index_paths=[str(index)], ext=list(extensions)))

    pipeline = graph()
    pipeline.build()
    columns = pipeline.run()
    return [tuple(np.asarray(column.at(row)).tobytes() for column in columns) for row in range(count)]
