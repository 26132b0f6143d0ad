"""Every TOML file in jobs/ and cluster/ is valid, checked without a cluster; tests/unit/cluster has the rest."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raydr.config.jobs import JOBS
from raydr.config.load import load

ROOT = Path(__file__).parents[2]


def test_config_check_accepts_every_file_and_every_verb_has_one() -> None:
    command = [sys.executable, "-m", "raydr", "config", "check", "jobs", "cluster"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = set(done.stdout.splitlines())
    assert {f"ok jobs/{verb}.toml {verb}" for verb in JOBS} <= lines
    assert {f"ok jobs/{name}.toml run" for name in ("demo", "smoke", "eyepacs_small")} <= lines
    assert {f"ok cluster/{site}.toml overlay" for site in ("local", "aws", "gcp", "kuberay")} <= lines
    files = [*(ROOT / "jobs").rglob("*.toml"), *(ROOT / "cluster").rglob("*.toml")]
    assert len(lines) == len(files)


@pytest.mark.parametrize("file", sorted((ROOT / "jobs").glob("*.toml")), ids=lambda file: file.stem)
def test_a_job_file_opens_with_a_lab_notebook(file: Path) -> None:
    notebook = ""
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            break
        notebook += line + "\n"
    assert re.search(rf"raydr \w+ (--config jobs/{file.name}|--model)", notebook), "the command"
    for word in ("Hardware", "Hours|Minutes|second"):
        assert re.search(word, notebook), word


@pytest.mark.parametrize("verb", JOBS)
def test_the_local_overlay_fits_every_job(verb: str) -> None:
    settings = load(verb, [ROOT / "jobs" / f"{verb}.toml", ROOT / "cluster" / "local.toml"])
    assert settings.cluster.gpus_per_worker == 0
    assert settings.cluster.local_cpus is not None
    # Workers that reserve every CPU leave none for decoding, and Ray then waits without a word.
    taken = settings.cluster.num_workers * settings.cluster.cpus_per_worker + settings.cluster.decode_cpus
    assert taken <= settings.cluster.local_cpus


def test_the_demo_is_what_a_laptop_can_do() -> None:
    demo = load("run", [ROOT / "jobs" / "demo.toml"])
    assert demo.out == "runs/demo"
    assert demo.search.trials >= 4  # type: ignore[attr-defined]
    assert demo.index.budget.fraction == pytest.approx(0.10)  # type: ignore[attr-defined]
    assert {source.role for source in demo.index.sources.values()} == {"internal", "external"}  # type: ignore[attr-defined]
    assert demo.cluster.gpus_per_worker == 0


def test_the_small_eyepacs_job_uses_two_percent_and_makes_the_cameras_alike() -> None:
    job = load("run", [ROOT / "jobs" / "eyepacs_small.toml"])
    assert job.index.budget.fraction == pytest.approx(0.02)  # type: ignore[attr-defined]
    assert job.preprocess.enhance == "equalize"  # type: ignore[attr-defined]
    assert job.index.sources["external"].role == "external"  # type: ignore[attr-defined]


def test_the_runtime_environment_carries_code_only() -> None:
    from ray.runtime_env import RuntimeEnv

    environment = yaml.safe_load((ROOT / "cluster" / "runtime_env.yaml").read_text())
    RuntimeEnv(**environment)  # raises where a field or a value is none of Ray's
    assert set(environment) == {"excludes", "env_vars"}
    for name in ("/.git/", "/.venv/", "/runs/", "/tests/"):
        assert name in environment["excludes"]
    assert all(isinstance(value, str) for value in environment["env_vars"].values())
    assert not [name for name in environment["env_vars"] if re.search("TOKEN|SECRET|PASSWORD|KEY", name)]
