"""Manifests: four forms with one meaning, errors that say where, and several rows of one source."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unreel.shards.intake.source_file import TO_THE_END, Caption, SourceFile
from unreel.shards.intake.sources import list_sources

Rows = list[dict[str, Any]]


def write_csv(path: Path, columns: list[str], rows: Rows) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in rows:
            cells = [row.get(name) for name in columns]
            writer.writerow([" ".join(map(str, cell)) if isinstance(cell, list) else cell for cell in cells])


def write_jsonl(path: Path, columns: list[str], rows: Rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, columns: list[str], rows: Rows) -> None:
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), path)


WRITERS: dict[str, Callable[[Path, list[str], Rows], None]] = {
    ".csv": write_csv,
    ".jsonl": write_jsonl,
    ".parquet": write_parquet,
}

words = st.text("abcéß ,\"'#", min_size=1, max_size=8).filter(lambda text: text.strip() == text)
numbers = st.floats(-1e6, 1e6).filter(lambda number: number == 0 or abs(number) > 1e-6)
optional = {
    "split": words,
    "licence": words,
    "takedown_id": words,
    "language": st.sampled_from(["en", "pt-BR", "DE"]),
    "transcript": words,
    "start": st.floats(0, 10),
    "end": st.floats(20, 30),
    "word": words,
    "count": st.integers(-(2**63), 2**63 - 1),
    "size": numbers,
    "x[]": st.lists(numbers, min_size=1, max_size=4),
}
tables = st.lists(st.fixed_dictionaries({}, optional=optional), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables)
def test_three_forms_mean_the_same(tmp_path: Path, rows: Rows) -> None:
    rows = [{"path": f"clip {number}.mp4", **row} for number, row in enumerate(rows)]
    columns = ["path", *(name for name in optional if any(name in row for row in rows))]
    read = []
    for suffix, write in WRITERS.items():
        write(tmp_path / f"table{suffix}", columns, rows)
        read.append(list_sources([tmp_path / f"table{suffix}"]))
    assert read[0] == read[1] == read[2]
    for row, source in zip(rows, read[0], strict=True):
        assert source.labels == {name: row[name] for name in ("word", "count", "size") if name in row}
        assert {name: type(label) for name, label in source.labels.items()} == {
            name: kind for name, kind in (("word", str), ("count", int), ("size", float)) if name in row
        }
        assert source.tracks == ({"x": tuple(row["x[]"])} if "x[]" in row else {})


def listed(folder: Path, *lines: str, suffix: str = ".csv") -> list[SourceFile]:
    manifest = folder / f"labels{suffix}"
    manifest.write_text("\n".join(lines) + "\n")
    return list_sources([manifest])


def test_column_of_a_csv_has_one_kind(tmp_path: Path) -> None:
    first, second = listed(
        tmp_path,
        "path,split,digit,height,word,code,takedown_id,x[]",
        "a.mp4,val,1,2,no,007,12,0 0.5 1",
        "b.mp4,,2,2.5,,010,13,",
    )
    assert (first.path, first.split, first.takedown_id) == (str(tmp_path / "a.mp4"), "val", "12")
    assert first.labels == {"digit": 1, "height": 2.0, "word": "no", "code": "007"}
    assert isinstance(first.labels["height"], float)
    assert (first.tracks, second.tracks) == ({"x": (0.0, 0.5, 1.0)}, {})
    assert second.split is None
    assert second.labels == {"digit": 2, "height": 2.5, "code": "010"}


def test_json_keeps_its_types_and_a_column_of_numbers_is_one_kind(tmp_path: Path) -> None:
    first, second = listed(
        tmp_path,
        '{"path": "a.mp4", "code": "007", "digits": "12", "on": true, "size": 2, "none": null}',
        '{"path": "b.mp4", "on": false, "size": 2.5}',
        suffix=".jsonl",
    )
    assert first.labels == {"code": "007", "digits": "12", "on": 1, "size": 2.0}
    assert isinstance(first.labels["size"], float)
    assert second.labels == {"on": 0, "size": 2.5}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file,label", "a.mp4,1"], "line 2: .*expected 'path' or 'url'"),
        (["path"], "no rows"),
        (["path,a,a", "a.mp4,1,2"], "line 1: column 'a'"),
        (["path,a", "a.mp4,1,2"], "line 2: found 3 cells, expected 2"),
        (["path,a", '"a.mp4,1'], "line 2: unexpected end of data"),
        (["path", "ftp://example.org/a.mp4"], "line 2, column path: .*scheme 'ftp'.*https"),
        (["path,x[]", "a.mp4,1 two"], r"line 2, column x\[\]: .*numbers with spaces"),
        (["path,start,end", "a.mp4,2,1"], "line 2: found start 2 and end 1"),
        (["path,start,end", "a.mp4,nan,"], "line 2, column start: found 'nan', expected seconds"),
        (["path,end", "a.mp4,1m"], "line 2, column end: found '1m', expected seconds"),
        (
            ["path,language", "a.mp4,English"],
            "line 2, column language: found 'English', expected an ISO 639-1",
        ),
        (["path,transcript", "a.mp4,https://example.org/a.vtt"], "line 2, column transcript: found a URL"),
        (
            ["path,split", "a.mp4,train", "a.mp4,val"],
            "line 3, column split: found 'val', expected 'train'.*line 2",
        ),
        (["path,law", "a.mp4,fall", "a.mp4,rest"], "line 3: found labels other than in .*line 2"),
        (["path,start,law", "a.mp4,,fall", "a.mp4,1,rest"], "start and an end in each"),
    ],
)
def test_bad_csv_is_an_error_that_says_where(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, *lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "line 1: found .*one JSON object a line"),
        ("{", "line 1: found no JSON object"),
        ('{"path": 3}', "line 1, column path: found 3, expected text"),
        ('{"path": "a", "x": [1]}', "line 1, column x: found .*expected text or a number"),
        ('{"path": "a", "x": {}}', "line 1, column x: found .*expected text or a number"),
        ('{"path": "a", "x": 9223372036854775808}', "column x: found 9223372036854775808"),
        ('{"path": "a", "x[]": [1, "two"]}', r"column x\[\]: found .*a list of numbers"),
        (
            '{"path": "a", "x": 1}\n{"path": "b", "x": "one"}',
            "line 2, column x: found the text 'one'.*line 1",
        ),
    ],
)
def test_bad_json_is_an_error_that_says_where(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, line, suffix=".jsonl")


def test_bad_parquet_is_an_error_that_says_where(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match="found no Parquet"):
        list_sources([tmp_path / "a.parquet"])
    write_parquet(
        tmp_path / "b.parquet", ["path", "x"], [{"path": "a", "x": 1.0}, {"path": "b", "x": float("nan")}]
    )
    with pytest.raises(ValueError, match="row 2, column x: found nan"):
        list_sources([tmp_path / "b.parquet"])


def test_rows_of_one_source_are_its_spans_with_their_labels_and_words(tmp_path: Path) -> None:
    (source,) = listed(
        tmp_path,
        "path,start,end,split,room,law,transcript",
        "a.mp4,4,,val,hall,rest,it lies",
        "a.mp4,1.5,4,val,hall,fall,it falls",
        "a.mp4,,3,,hall,,",
    )
    assert source.spans == ((0.0, 3.0), (1.5, 4.0), (4.0, TO_THE_END))
    assert (source.split, source.labels) == ("val", {"room": "hall"})
    assert source.span_labels == ({}, {"law": "fall"}, {"law": "rest"})
    assert source.captions == (Caption(1.5, 4.0, "it falls"), Caption(4.0, TO_THE_END, "it lies"))


def test_row_that_says_nothing_new_is_reported(tmp_path: Path) -> None:
    manifest, said = tmp_path / "labels.csv", list[str]()
    manifest.write_text("path,start\na.mp4,1\na.mp4,2\na.mp4,1\n")
    (source,) = list_sources([manifest], said.append)
    assert source.spans == ((1.0, TO_THE_END), (2.0, TO_THE_END))
    assert said == [f"{manifest}, line 4 says the same as {manifest}, line 2"]


def test_path_of_a_transcript_is_relative_to_the_manifest(tmp_path: Path) -> None:
    first, second = listed(
        tmp_path, "path,transcript,language", "a.mp4,words/a.srt,pt-BR", "b.mp4,hello there,"
    )
    assert (first.transcript, first.language) == (str(tmp_path / "words" / "a.srt"), "pt")
    assert (second.transcript, second.captions) == (None, (Caption(0.0, TO_THE_END, "hello there"),))
