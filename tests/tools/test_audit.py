"""`unreel audit`: the probe, the verdicts, and the command on a tiny data set."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from unreel.models.evaluation import Estimate
from unreel.pipelines.guards import GUARDS
from unreel.shards.catalogue import Catalogue
from unreel.tools.audit.cases import CASES
from unreel.tools.audit.findings import Finding, Side
from unreel.tools.audit.probe import Evidence, probe
from unreel.tools.audit.worlds import WORLDS
from unreel.tools.cli import app


def evidence(seen: np.ndarray, answers: np.ndarray) -> Evidence:
    sources = np.array([f"source {row // 8}" for row in range(len(answers))])
    return Evidence(seen=seen.astype(np.float32), answers=answers, sources=sources)


def test_a_probe_finds_what_is_there_and_nothing_where_there_is_nothing() -> None:
    rng = np.random.default_rng(1)
    seen, answers = rng.normal(size=(800, 3)), rng.integers(0, 2, 800)
    nothing = probe(evidence(seen, answers))
    assert abs(nothing.value - 0.5) < 3 * (nothing.standard_error or 0)
    between = (np.sort(seen, axis=1)[:, 1] == seen[:, 1]).astype(np.int64)
    assert probe(evidence(seen, between)).value > 0.9, "one number between two others is not linear"


def test_a_probe_is_not_asked_about_sources_that_it_learned_from() -> None:
    rng = np.random.default_rng(1)
    names = np.repeat(np.arange(100), 8)
    # The number names the source, and the label is the source's own: only memory could tell.
    learned = probe(evidence(names[:, None] * 1.0, rng.integers(0, 2, 100)[names]))
    assert abs(learned.value - 0.5) < 0.2


def side(value: float, error: float | None = 0.01) -> Side:
    return Side(
        settings="", accuracy=Estimate(value=value, standard_error=error, interval=None, samples=9, sources=3)
    )


@pytest.mark.parametrize(
    ("off", "on", "verdict"),
    [
        (0.9, 0.51, "closed"),
        (0.9, 0.47, "closed"),
        (0.9, 0.53, "open"),
        (0.52, 0.5, "not shown"),
        (0.5, 0.6, "open"),
    ],
)
def test_verdicts_follow_from_errors(off: float, on: float, verdict: str) -> None:
    finding = Finding(
        guard="audio_phase",
        threat="D9",
        artefact="",
        task="",
        data="",
        chance=0.5,
        off=side(off),
        on=side(on, None if on == 0.5 else 0.01),
    )
    assert finding.verdict == verdict


def test_cases_switch_their_guard_and_nothing_else() -> None:
    for case in CASES:
        assert case.guard in GUARDS and case.world in WORLDS
        on, off = case.task.guards, case.unguarded.guards
        assert on[case.guard] != off[case.guard]
        assert {name for name in on if on[name] != off[name]} == {case.guard}


def test_the_command_tells_an_open_shortcut_from_a_closed_one(
    tiny_catalogue: Catalogue, tmp_path: Path
) -> None:
    found = tmp_path / "audit.json"
    done = CliRunner().invoke(
        app, ["audit", "D9", "--data", str(tiny_catalogue.folder), "--passes", "4", "--json", str(found)]
    )
    first, second = json.loads(found.read_bytes())["findings"]
    assert done.exit_code == int("open" in (first["verdict"], second["verdict"])), done.output
    assert first["guard"] == second["guard"] == "audio_phase"
    assert first["verdict"] == "closed"
    for finding in (first, second):
        off, on = (finding[side]["accuracy"] for side in ("off", "on"))
        assert off["value"] > 0.75 and off["value"] > on["value"] + 0.1 and on["sources"] > 10


def test_an_unknown_guard_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"audit nothing: allowed are D12, .*audio_phase"):
        CliRunner().invoke(app, ["audit", "nothing"], catch_exceptions=False)
