"""Sources: what folders, patterns and manifests name, in a fixed order."""

from pathlib import Path

import pytest

from unreel.shards.border.signatures import identify
from unreel.shards.errors import MediaRefused
from unreel.shards.intake.sources import list_sources


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


def test_manifest_in_a_folder_or_a_pattern_is_a_file_among_others(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    manifest = write_manifest(tmp_path, "path,x", "a.mp4,1")
    for argument in (tmp_path, tmp_path / "*"):
        sources = list_sources([argument])
        assert [source.name for source in sources] == ["a.mp4", "labels.csv"]
        assert sources[0].labels == {}
    with pytest.raises(MediaRefused, match="manifest: "):
        identify(manifest.read_bytes(), "labels.csv")


def test_manifest_speaks_of_what_a_folder_names(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    manifest = write_manifest(tmp_path, "path,x", "b.mp4,1")
    for arguments in ([tmp_path, manifest], [manifest, tmp_path]):
        assert {source.name: source.labels for source in list_sources(arguments)} == {
            "a.mp4": {},
            "b.mp4": {"x": 1},
            "labels.csv": {},
        }


@pytest.mark.parametrize(
    "argument",
    [
        "pipe:cat /etc/passwd",
        "concat:a.mp4|b.mp4",
        "data:video/mp4;base64,AAAA",
        "file:a.mp4",
        "file://host/a.mp4",
    ],
)
def test_other_schemes_are_refused_by_name(argument: str) -> None:
    with pytest.raises(ValueError, match=r"scheme '(pipe|concat|data|file)'.*allowed are .*https"):
        list_sources([argument])


def test_url_is_a_source_and_its_signature_stays_out(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# two\nhttps://example.org/a.mp4?sig=secret\n\nb.mp4\n")
    first, second = list_sources([tmp_path / "list.txt"])
    assert (first.path, first.remote) == ("https://example.org/a.mp4?sig=secret", True)
    assert (first.name, first.url) == ("https://example.org/a.mp4",) * 2
    assert (second.path, second.remote) == (str(tmp_path / "b.mp4"), False)
    assert list_sources(["s3://bucket/a.mp4"])[0].path == "s3://bucket/a.mp4"
    with pytest.raises(ValueError, match="name or password"):
        list_sources(["https://me:secret@example.org/a.mp4"])


def test_file_whose_name_looks_like_a_scheme_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path / "day:one.mp4")
    (tmp_path / "list.txt").write_text("day:one.mp4\n")
    assert list_sources([tmp_path / "list.txt"])[0].path == str(tmp_path / "day:one.mp4")
