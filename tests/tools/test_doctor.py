"""`unreel doctor` and what it looks at."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from unreel.tools import findings as looks
from unreel.tools.doctor import doctor
from unreel.tools.findings import Finding, find_backends, find_ffmpeg, find_gpu, find_machine
from unreel.tools.trial import Trial, run_trial

GOOD = [
    Finding("machine", "system", "ok", "Linux", required=True),
    Finding("gpu", "NVDEC", "absent", "no driver", "ask"),
]
BAD = [*GOOD, Finding("decode", "packets", "broken", "no libavcodec", "pip install av", required=True)]


def run(monkeypatch: pytest.MonkeyPatch, findings: list[Finding], *arguments: str):
    monkeypatch.setattr(looks, "find_all", lambda: iter(findings))
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, list(arguments))


def test_what_is_only_absent_does_not_stop_the_main_job(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, GOOD)
    assert result.exit_code == 0
    assert "NVDEC" in result.stdout and "absent" in result.stdout and "ask" in result.stdout
    assert "ready" in result.stderr and "not ready" not in result.stderr


def test_a_required_part_that_is_broken_is_exit_code_1_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, BAD)
    assert result.exit_code == 1
    assert "not ready: packets" in result.stderr
    assert "pip install av" in result.stdout


def test_json_holds_every_finding_and_nothing_else_is_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    report = json.loads(run(monkeypatch, BAD, "--json", "-").stdout)
    assert report["ready"] is False
    assert [finding["name"] for finding in report["findings"]] == ["system", "NVDEC", "packets"]
    file = tmp_path / "doctor.json"
    assert "system" in run(monkeypatch, GOOD, "--json", str(file)).stdout
    assert json.loads(file.read_bytes())["ready"] is True


def test_this_machine_runs_the_main_job() -> None:
    findings = [*find_machine(), *find_ffmpeg(), *find_gpu()]
    broken = [finding for finding in findings if finding.required and finding.status != "ok"]
    assert not broken
    names = [finding.name for finding in findings]
    assert len(set(names)) == len(names)
    assert {"system", "cores", "memory", "ffmpeg in use", "PyAV", "driver", "NVDEC", "nvJPEG"} <= set(names)
    assert all(finding.detail for finding in findings)


def test_each_backend_decodes_a_tiny_clip_or_says_what_is_missing() -> None:
    findings = {finding.name: finding for finding in find_backends()}
    assert {"packets", "decord", "torchcodec", "dali on cpu"} <= set(findings)
    assert findings["packets"].status == "ok" and findings["packets"].required
    assert findings["packets"].milliseconds > 0 and "h264 and flac" in findings["packets"].detail
    for finding in findings.values():
        assert finding.status == "ok" or finding.remedy, finding


def test_a_backend_that_takes_its_process_down_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(args, -11, "", "first\nSegmentation fault\n")

    monkeypatch.setattr(subprocess, "run", crash)
    finding = looks._try_backend("packets", "cpu")
    assert finding.status == "broken" and finding.required
    assert finding.detail == "exit code -11: Segmentation fault"


def test_an_ffmpeg_without_the_encoders_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\necho "ffmpeg version 1.0-poor Copyright"\necho " A....D flac  FLAC"\n')
    program.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    finding = next(iter(find_ffmpeg()))
    assert finding.status == "broken" and finding.required
    assert "1.0-poor has no encoder libx264" in finding.detail and "IMAGEIO_FFMPEG_EXE" in finding.remedy


@pytest.mark.parametrize(
    ("trial", "status", "remedy"),
    [
        (Trial("works", "1.0", 2.0, "h264"), "ok", ""),
        (Trial("missing", "no module; pip install it"), "absent", "pip install it"),
        (Trial("fails", "black", 2.0, "h264"), "broken", ""),
    ],
)
def test_outcomes_of_trials(trial: Trial, status: str, remedy: str) -> None:
    finding = looks._finding("decord", trial, required=False)
    assert (finding.status, finding.remedy) == (status, remedy)
    assert looks._finding("packets", trial, required=True).status == ("ok" if status == "ok" else "broken")


@pytest.mark.parametrize(
    ("media", "value", "words"), [("frames", 90, "mean grey"), ("audio", 0, "the sound is not what went in")]
)
def test_a_trial_notices_wrong_pictures_and_wrong_sound(
    monkeypatch: pytest.MonkeyPatch, media: str, value: int, words: str
) -> None:
    from unreel.pipelines.decode.packets import Packets

    decode = Packets.decode

    def spoiled(self: Packets, *arguments: Any, **settings: Any) -> Any:
        decoded = decode(self, *arguments, **settings)
        values = getattr(decoded, media)
        if values is not None:
            values.fill_(value)
        return decoded

    assert run_trial("packets", "cpu").status == "works"
    monkeypatch.setattr(Packets, "decode", spoiled)
    wrong = run_trial("packets", "cpu")
    assert wrong.status == "fails" and words in wrong.detail
