"""Sources: what folders, patterns and manifests name, in a fixed order."""

from pathlib import Path

import pytest

from unreel.shards.sources import TO_THE_END, list_sources


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def write_manifest(folder: Path, *lines: str) -> Path:
    manifest = folder / "labels.csv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def test_folder_is_listed_sorted_to_any_depth_without_hidden_names(tmp_path: Path) -> None:
    touch(tmp_path / "b.mp4", tmp_path / "a" / "z.mkv", tmp_path / ".trash" / "c.mp4", tmp_path / ".d.mp4")
    assert [source.name for source in list_sources([tmp_path])] == ["b.mp4", "a/z.mkv"]


def test_pattern_and_folder_name_a_file_once(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    sources = list_sources([str(tmp_path / "*.mp4"), tmp_path])
    assert [Path(source.path).name for source in sources] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("argument", ["nowhere", "*.nothing"])
def test_argument_that_names_nothing_is_an_error(tmp_path: Path, argument: str) -> None:
    with pytest.raises(ValueError, match="no such file"):
        list_sources([tmp_path / argument])


def test_manifest_gives_labels_of_one_type_a_column(tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path,
        "path,split,digit,height,word,code,x[]",
        "a.mp4,val,1,2,no,007,0 0.5 1",
        "b.mp4,,2,2.5,,010,",
    )
    first, second = list_sources([manifest])
    assert (first.path, first.split) == (str(tmp_path / "a.mp4"), "val")
    assert first.labels == {"digit": 1, "height": 2.0, "word": "no", "code": "007"}
    assert isinstance(first.labels["height"], float)
    assert first.tracks == {"x": (0.0, 0.5, 1.0)}
    assert second.split is None
    assert second.labels == {"digit": 2, "height": 2.5, "code": "010"}
    assert second.tracks == {}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,label", "a.mp4,1"], "'path'"),
        (["path", "https://example.org/a.mp4"], "line 2.*https"),
        (["path,x[]", "a.mp4,1 two"], r"column x\[\]"),
        (["path,start,end", "a.mp4,2,1"], "line 2: start 2 and end 1"),
        (["path,start,end", "a.mp4,nan,"], "line 2: start nan"),
        (["path,end", "a.mp4,1m"], "line 2.*seconds"),
    ],
)
def test_bad_manifest_is_an_error_that_says_where(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list_sources([write_manifest(tmp_path, *lines)])


def test_manifest_names_a_span_of_the_source(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, "path,start,end", "a.mp4,1.5,4", "b.mp4,2,", "c.mp4,,3", "d.mp4,,")
    assert [source.spans for source in list_sources([manifest])] == [
        ((1.5, 4.0),),
        ((2.0, TO_THE_END),),
        ((0.0, 3.0),),
        (),
    ]
