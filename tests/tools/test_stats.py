"""`unreel stats` and `unreel dedup`: what is printed is what was found, and the page carries all that it shows."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unreel.shards.catalogue import Catalogue
from unreel.tools.cli import app
from unreel.tools.stats import hours, size
from unreel.tools.stats_page import draw_tiles


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "140"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_terminal_view(tiny_catalogue: Catalogue) -> None:
    shown = run("stats", tiny_catalogue.folder)
    assert "36 samples in 3 shards" in shown and "18 sources" in shown
    for name in ("seconds", "motion", "loudness *", "width x height", "stored as *"):
        assert name in shown
    assert "█" in shown and "sidecars of all of 36" in shown


def test_json_is_all_that_was_found(tiny_catalogue: Catalogue) -> None:
    found = json.loads(run("stats", tiny_catalogue.folder, "--sample", 9, "--json", "-"))
    assert (found["samples"], found["rows"], found["sidecars"]) == (36, 9, 9)
    assert found["distributions"]["seconds"]["count"] == 9


def test_the_page_loads_nothing_and_says_what_was_looked_at(
    tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    run("stats", tiny_catalogue.folder, "--html", page, "--pictures", 5, "--sample", 12)
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 5
    assert len(re.findall(r'<svg[^>]* class="chart"', text)) >= 9
    assert "the index rows of 12 samples" in text and "of 36" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text) and "http" not in text
    assert "prefers-color-scheme: dark" in text


def test_pictures_are_the_middle_frames_in_order(tiny_catalogue: Catalogue) -> None:
    tiles = draw_tiles([tiny_catalogue], 36)
    assert [tile.key for tile in tiles] == [row.key for _, _, row in tiny_catalogue.rows()]
    assert all(tile.picture and not tile.reason for tile in tiles)


def test_a_sample_that_nothing_decodes_says_why(
    tiny_catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unreel.tools.stats_page.BACKENDS", {})
    assert {(tile.picture, tile.reason) for tile in draw_tiles([tiny_catalogue], 2)} == {("", "no backend")}


def test_lengths_and_sizes_have_the_unit_that_suits_them() -> None:
    assert [hours(value) for value in (5, 90, 7200)] == ["5.0 s", "1.5 min", "2.0 h"]
    assert [size(value) for value in (999, 1500, 2.5e15)] == ["999 B", "1.5 kB", "2,500.0 TB"]


def test_dedup_names_its_pairs(tiny_catalogue: Catalogue, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_catalogue.folder, tmp_path / "tiny")
    found = json.loads(run("dedup", folder, "--dry-run", "--json", "-"))
    assert not found["done"] and found["samples"] == 36 and found["likeness"]["distance"] == 6
    assert len(Catalogue.open(folder)) == 36
    wrong = CliRunner().invoke(app, ["dedup", str(folder), "--distance", "40"])
    assert isinstance(wrong.exception, ValueError) and "distance 40" in str(wrong.exception)
