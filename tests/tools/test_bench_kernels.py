"""`unreel bench kernels`, small: contestants that do the same work, and shares that add up."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unreel.shards.catalogue import Catalogue
from unreel.tools.bench.command import bench
from unreel.tools.bench.views import Case, contest_of, shares


def test_contestants_are_eager_torch_and_the_kernel_both_on_rgb_and_on_planes() -> None:
    figures = contest_of(Case("tiny", 2, 2, 32, 24, 16), device="cpu", threads=1, repeats=2)
    assert [figure.name for figure in figures] == [
        "eager torch",
        "eager torch, planes",
        "numba",
        "numba, planes",
    ]
    assert all(figure.speed > 0 and figure.ratio_low <= figure.ratio for figure in figures)
    assert figures[0].ratio == 1


def test_the_bytes_of_a_case_are_its_cuts_and_its_result() -> None:
    assert Case("x", 2, 3, 64, 10, 20).bytes == 6 * 3 * (100 + 4 * 400)


@pytest.mark.parametrize("recipe", ["shuffle_and_learn_tiny", "together_tiny"])
def test_shares_are_of_decoding_building_and_learning(tiny_catalogue: Catalogue, recipe: str) -> None:
    (share,) = shares(tiny_catalogue.folder, [recipe], steps=1)
    assert min(share.decode, share.build, share.step) > 0
    assert share.share == pytest.approx(share.build / (share.decode + share.build + share.step))


def test_the_command_writes_both_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unreel.tools.bench.views.CASES", (Case("tiny", 2, 2, 32, 24, 16),))
    done = CliRunner().invoke(
        bench, ["kernels", "--steps", "0", "--repeats", "1", "--json", str(tmp_path / "out.json")]
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert list(found["figures"]) == ["tiny"] and found["shares"] == [] and found["bandwidth"] == {}
