"""What is to be built: folders, globs, files, URLs and manifests become one ordered list of sources."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from unreel.shards.intake.manifests import Mention, merge, place, read_manifest
from unreel.shards.intake.pairing import pair_transcripts
from unreel.shards.intake.source_file import TO_THE_END, SourceFile, is_plain_file
from unreel.shards.intake.tables import MANIFEST_SUFFIXES
from unreel.shards.remote.web import is_url

__all__ = ["TO_THE_END", "SourceFile", "is_plain_file", "list_sources"]


def _ignore(_sentence: str) -> None:
    pass


def list_sources(
    arguments: Iterable[str | Path], repeated: Callable[[str], None] = _ignore
) -> list[SourceFile]:
    """All that `arguments` name, in a fixed order, each file or URL once with all that is said of it.

    An argument is a folder (searched to any depth, hidden names left out), a manifest (`.txt`, `.csv`, `.jsonl`,
    `.parquet`), a file, a URL, or a glob pattern. A manifest that a folder or a pattern holds is a file among others. A
    text beside a file of the same name (`clip.srt`, `clip.en.vtt`, `clip.txt`) holds its words and is no source.

    Args:
        repeated: called with a sentence for each row that says what another has said.

    Raises:
        ValueError: an argument names nothing, a manifest cannot be read, or two rows contradict each other.
    """
    found: dict[str, list[Mention]] = {}
    for argument in arguments:
        for mention in _expand(str(argument)):
            found.setdefault(mention.source.path, []).append(mention)
    return pair_transcripts([merge(mentions, repeated) for mentions in found.values()])


def _expand(argument: str) -> Iterable[Mention]:
    path = Path(argument)
    if is_url(argument):
        return [_url(argument)]
    if path.is_dir():
        return _walk(path)
    if path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file():
        return read_manifest(path)
    if path.exists():
        return [_file(path, path.name)]
    matches = sorted(glob.glob(argument, recursive=True)) if glob.has_magic(argument) else []
    if not matches:
        place(argument, ".")
        raise ValueError(f"source {argument!r}: no such file, folder, manifest or pattern")
    return (mention for match in matches for mention in _matched(Path(match)))


def _matched(path: Path) -> Iterable[Mention]:
    return _walk(path) if path.is_dir() else [_file(path, path.name)]


def _walk(folder: Path) -> Iterator[Mention]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = Path(root, name)
            yield _file(path, str(path.relative_to(folder)))


def _file(path: Path, name: str) -> Mention:
    return Mention(str(path), SourceFile(path=os.path.abspath(path), name=name))


def _url(url: str) -> Mention:
    bare = url.partition("?")[0].partition("#")[0]
    return Mention(bare, SourceFile(path=place(url, "."), name=bare, url=bare))
