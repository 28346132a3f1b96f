"""Scripts for Slurm: read, checked by bash, and run with stubs in the place of Slurm and of autoseg."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from autoseg.cli import run_command

STUB = """#!/bin/bash
echo "$(basename "$0") $*" >> "$CALLS"
[ "$(basename "$0")" = sbatch ] && echo "job$(wc -l < "$CALLS")"
exit 0
"""
STOPPABLE = """#!/bin/bash
trap 'exit 75' TERM
touch "$CALLS.started"
while true; do sleep 0.05; done
"""


@pytest.fixture
def scripts(tmp_path):
    """Folder of the scripts of a cascade and a 2D configuration, two folds."""
    raw = tmp_path / "workspace" / "raw" / "Dataset004_Tiny"
    raw.mkdir(parents=True)
    (raw / "dataset.json").write_text("{}")
    place = ["-o", str(tmp_path / "jobs"), "--workspace", str(tmp_path / "workspace")]
    chosen = ["-c", "3d_cascade_fullres", "2d", "-f", "0", "1", "--sbatch=--partition=gpu", "--training=--epochs 3"]
    assert run_command(["slurm", "4", *chosen, *place]) == 0
    return tmp_path / "jobs"


@pytest.fixture
def stubs(tmp_path):
    """Environment in which sbatch, scontrol and autoseg only note how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "scontrol", "autoseg"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "1"}
    return {**os.environ, **slurm, "CALLS": str(tmp_path / "calls"), "PATH": f"{folder}:{os.environ['PATH']}"}


def calls(environment):
    return Path(environment["CALLS"]).read_text(encoding="utf-8").splitlines()


def test_scripts_are_bash_and_previous_stages_come_first(scripts):
    names = ["prepare", "train_0", "score", "train_1", "pack", "submit"]
    assert sorted(path.stem for path in scripts.glob("*.sh")) == sorted(names)
    for path in scripts.glob("*.sh"):
        assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    first, second = (scripts / "train_0.sh").read_text(), (scripts / "train_1.sh").read_text()
    assert "configurations=(3d_lowres 3d_lowres)" in first
    assert "configurations=(3d_cascade_fullres 3d_cascade_fullres 2d 2d)" in second
    assert "#SBATCH --array=0-1\n" in first
    assert "#SBATCH --array=0-3\n" in second
    for text in (first, second):
        for line in ("--requeue", "--signal=B:TERM@120", "--partition=gpu", "--gpus=1"):
            assert f"#SBATCH {line}\n" in text


def test_each_job_waits_for_the_one_before(scripts, stubs):
    subprocess.run(["bash", scripts / "submit.sh"], env=stubs, check=True, capture_output=True)
    submitted = calls(stubs)
    assert [line.split()[-1] for line in submitted] == ["prepare.sh", "train_0.sh", "score.sh", "train_1.sh", "pack.sh"]
    assert [line.split()[2] for line in submitted[1:]] == [f"--dependency=afterok:job{job}" for job in range(1, 5)]


def test_jobs_run_the_right_commands(scripts, stubs):
    for name in ("prepare", "train_1", "pack"):
        assert subprocess.run(["bash", scripts / f"{name}.sh"], env=stubs, check=False).returncode == 0
    said = calls(stubs)
    assert [line.split()[1] for line in said] == ["fingerprint", "plan", "preprocess", "train", "plan_and_train"]
    assert "-c 3d_lowres 3d_cascade_fullres 2d" in said[2]
    assert "train Dataset004_Tiny -c 3d_cascade_fullres -f 1 --method autoseg --epochs 3" in said[3]
    assert "-c 3d_cascade_fullres 2d -f 0 1" in said[4]


@pytest.mark.parametrize(("name", "number"), [("train_1", "9_1"), ("prepare", "9")])
def test_a_pre_empted_job_saves_and_is_queued_again(scripts, stubs, tmp_path, name, number):
    (tmp_path / "bin" / "autoseg").write_text(STOPPABLE)
    job = subprocess.Popen(["bash", scripts / f"{name}.sh"], env=stubs)
    while not (tmp_path / "calls.started").exists():
        assert job.poll() is None
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=60) == 75
    assert calls(stubs) == [f"scontrol requeue {number}"]


def test_a_failed_step_ends_the_job(scripts, stubs, tmp_path):
    (tmp_path / "bin" / "autoseg").write_text(STUB.replace("exit 0", "exit 2"))
    assert subprocess.run(["bash", scripts / "prepare.sh"], env=stubs, check=False).returncode == 2
    assert len(calls(stubs)) == 1


def test_without_plan_and_configurations_there_is_nothing_to_write(scripts, tmp_path, capsys):
    code = run_command(["slurm", "4", "-o", str(tmp_path / "none"), "--workspace", str(tmp_path / "workspace")])
    assert code == 2
    assert "Dataset004_Tiny is not planned" in capsys.readouterr().err
