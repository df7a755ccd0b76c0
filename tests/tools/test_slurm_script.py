"""The Slurm script: what it starts on one node and on several, and when the job is queued again."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "slurm" / "train.sbatch"

STAND_INS = {
    "torchrun": 'echo torchrun "$@"; exit "${TORCHRUN_CODE:-0}"',
    "srun": 'echo srun "$1"; shift; "$@"',
    "scontrol": 'if [ "$1" = show ]; then printf "node7\\nnode8\\n"; else echo scontrol "$@"; fi',
}
"""Programs that a test machine lacks, or should not run."""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def submit(programs: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "UNREEL"))}
    return subprocess.run(
        ["bash", str(SCRIPT), *words],
        env={**kept, **variables, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_script_is_shell() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_one_machine_without_slurm(programs: Path) -> None:
    done = submit(programs, "rotation", "--set", "train.steps = 3", UNREEL_PER_NODE="2")
    assert done.returncode == 0 and "srun" not in done.stdout
    assert "--nnodes 1 --nproc-per-node 2" in done.stdout and "127.0.0.1:29500" in done.stdout
    assert done.stdout.rstrip().endswith("unreel train rotation --set train.steps = 3 --resume")


def test_several_nodes_meet_at_the_first_one(programs: Path) -> None:
    job = {"SLURM_JOB_ID": "41", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[7-8]"}
    done = submit(programs, "rotation", **job, SLURM_GPUS_ON_NODE="8", SLURM_RESTART_COUNT="2")
    assert done.stdout.startswith("srun --kill-on-bad-exit=1")
    assert "--nnodes 2 --nproc-per-node 8" in done.stdout
    assert "--rdzv-id 41-2 --rdzv-endpoint node7:29500" in done.stdout
    assert "requeue" not in done.stdout, "a finished run is over"


@pytest.mark.parametrize(
    ("soon", "restarts", "again"), [("0", "0", True), ("300", "0", False), ("0", "100", False)]
)
def test_a_job_that_was_stopped_is_queued_again_and_one_that_cannot_begin_is_not(
    programs: Path, soon: str, restarts: str, again: bool
) -> None:
    done = submit(
        programs,
        "rotation",
        SLURM_JOB_ID="41",
        TORCHRUN_CODE="1",
        UNREEL_SOON=soon,
        SLURM_RESTART_COUNT=restarts,
    )
    assert done.returncode == 1
    assert ("scontrol requeue 41" in done.stdout) == again
    assert again or "not requeued" in done.stdout


def test_a_recipe_has_to_be_named(programs: Path) -> None:
    done = submit(programs)
    assert done.returncode == 2 and "usage" in done.stderr
