"""The command line: what it prints, what it exits with, what it does not import."""

import os
import pickle
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raydr import cli
from raydr.config.jobs import JOBS
from raydr.config.load import load
from raydr.errors import InputError, RunError, SettingsError, StoppedRun

ROOT = Path(__file__).parents[2]
PREDICT = ["predict", "--model", "m", "--images", "i", "--out", "scores.parquet"]


def raydr(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of one command line."""
    try:
        status = cli.main(arguments)
    except SystemExit as stop:  # argparse
        status = int(stop.code or 0)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_the_verbs_are_the_jobs() -> None:
    assert list(cli.VERBS) == list(JOBS)


def test_help_tells_the_story_and_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = raydr(capsys, "--help")
    assert status == 0
    assert "index ──► prepare ──► pretrain ──► finetune ──► search ──► evaluate ──► predict" in out
    for verb in JOBS:
        assert f"\n    {verb} " in out
        status, shown, _ = raydr(capsys, verb, "--help")
        assert status == 0
        assert "--dry-run" in shown


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert raydr(capsys, "--version") == (0, f"raydr {project['version']}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["config", "check", "jobs", "cluster"]], ids=["help", "check"])
def test_help_and_check_import_no_heavy_library_and_answer_within_a_second(arguments: list[str]) -> None:
    program = (
        "import sys; from raydr.cli import main\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit as stop: status = stop.code\n"
        "heavy = {'torch', 'ray', 'mlflow', 'timm', 'cv2', 'pandas'} & set(sys.modules)\n"
        "print(status, sorted(heavy), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stderr == "0 []\n"
    # The processor's time: on a busy machine the clock on the wall tells of the others.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_no_verb_and_an_unknown_verb_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["train"], ["config"], ["run", "--sett", "a=1"]):
        status, out, err = raydr(capsys, *arguments)
        assert (status, out) == (2, "")
        assert "raydr" in err


def test_settings_errors_are_lines_on_stderr_and_exit_with_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "job.toml"
    file.write_text('job = "predict"\nmodel = 3\nout = "o.parquet"\nbatch_size = 0\n')
    assert raydr(capsys, "predict", "--config", str(file)) == (
        2,
        "",
        f"raydr: {file}: model: must be text in quotes (got 3)\n"
        f"raydr: {file}: images: is required and missing\n"
        f"raydr: {file}: batch_size: must be above 0 (got 0)\n",
    )
    assert raydr(capsys, "predict", "--config", str(tmp_path / "none.toml")) == (
        2,
        "",
        f"raydr: {tmp_path / 'none.toml'}: cannot be read: No such file or directory\n",
    )


def test_a_verb_without_any_settings_says_what_to_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = raydr(capsys, "search")
    assert (status, err) == (2, "raydr: command line: --config: is required and missing; try jobs/search.toml\n")


def test_an_override_without_a_value_or_of_an_unknown_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = raydr(capsys, *PREDICT, "--set", "seed")
    assert (status, err) == (2, "raydr: command line: --set seed: has no value; write --set KEY=VALUE\n")
    status, _, err = raydr(capsys, *PREDICT, "--set", "sed=1")
    assert status == 2
    assert err.startswith("raydr: command line: sed: no such key; did you mean seed?; allowed: out, seed,")


def test_a_password_in_the_settings_is_not_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('tracking.uri = "https://me:pass@word@host/mlflow"')
    arguments = [*PREDICT, "--config", str(file)]
    for shown in (raydr(capsys, *arguments, "--dry-run"), raydr(capsys, "config", "show", *arguments)):
        assert shown[0] == 0
        assert "word" not in shown[1]
        assert 'uri = "https://***@host/mlflow"' in shown[1]


def test_dry_run_prints_settings_that_load_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, err = raydr(capsys, *PREDICT, "--set", "cluster.num_workers=3", "--dry-run")
    assert (status, err) == (0, "")
    (tmp_path / "shown.toml").write_text(out)
    settings = load("predict", [tmp_path / "shown.toml"])
    assert settings == JOBS["predict"].model_validate(
        {"job": "predict", "model": "m", "images": "i", "out": "scores.parquet", "cluster": {"num_workers": 3}}
    )


def test_flags_win_over_files_and_are_text_as_they_stand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('job = "predict"\nmodel = "a"\nimages = "b"\nout = "c.parquet"\n')
    status, out, _ = raydr(capsys, "predict", "--config", str(file), "--images", "2024", "--dry-run")
    assert status == 0
    shown = tomllib.loads(out)
    assert (shown["model"], shown["images"], shown["out"]) == ("a", "2024", "c.parquet")


def test_evaluate_has_a_flag_for_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "jobs" / "evaluate.toml")
    status, out, _ = raydr(capsys, "evaluate", "--config", file, "--model", "runs/demo/teacher", "--dry-run")
    assert status == 0
    assert tomllib.loads(out)["model"] == "runs/demo/teacher"


def test_check_names_every_bad_file_and_the_good_ones_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.toml").write_text("[cluster]\nnum_workers = 2")
    (tmp_path / "b.toml").write_text("[cluster]\nnum_workers = 0")
    (tmp_path / "below" / "c.toml").write_text('job = "x"')
    (tmp_path / "notes.txt").write_text("no settings")
    status, out, err = raydr(capsys, "config", "check", str(tmp_path), str(tmp_path / "empty"))
    assert status == 2
    assert out == f"ok {tmp_path / 'a.toml'} overlay\n"
    assert err.splitlines() == [
        f"raydr: {tmp_path / 'b.toml'}: cluster.num_workers: must be above 0 (got 0)",
        f"raydr: {tmp_path / 'below' / 'c.toml'}: job: 'x' is no verb; allowed: {', '.join(JOBS)}",
        f"raydr: {tmp_path / 'empty'}: holds no TOML files",
    ]


def test_show_and_schema_describe_settings(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = raydr(capsys, "config", "show", "run", "--config", str(ROOT / "jobs" / "demo.toml"))
    assert status == 0
    assert tomllib.loads(out)["job"] == "run"
    assert "# Peak rate; see `scale_learning_rate`." in out
    status, out, _ = raydr(capsys, "config", "schema", "pretrain")
    assert status == 0
    assert '"Peak rate; see `scale_learning_rate`."' in out
    assert raydr(capsys, "config", "schema", "train")[0] == 2


def _outcome(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    def dispatch(verb: str, settings: Any) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome() if callable(outcome) else outcome

    monkeypatch.setattr(cli, "dispatch", dispatch)


def test_a_verb_that_is_done_names_its_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _outcome(monkeypatch, SimpleNamespace(uri="/somewhere/result.json"))
    assert raydr(capsys, *PREDICT) == (0, "result: /somewhere/result.json\n", "")


class WrappedByRayError(Exception):
    """Like ray.exceptions.RayTaskError: its own text is a traceback, `cause` is what the task raised."""

    def __init__(self, cause: Exception) -> None:
        super().__init__("ray::task() (pid=1)\n  File ...")
        self.cause = cause


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (InputError("labels.csv: line 3: bad"), 2, ["raydr: labels.csv: line 3: bad"]),
        (InputError("a.csv: one\nb.csv: two"), 2, ["raydr: a.csv: one", "raydr: b.csv: two"]),
        (RunError("no trial finished; see runs/x"), 1, ["raydr: no trial finished; see runs/x"]),
        (WrappedByRayError(InputError("a.csv: one")), 2, ["raydr: a.csv: one"]),
        (pickle.loads(pickle.dumps(SettingsError(["a: b: one", "c"]))), 2, ["raydr: a: b: one", "raydr: c"]),
        (KeyboardInterrupt(), 130, ["raydr predict: interrupted"]),
        (StoppedRun("all is saved", signal.SIGTERM), 143, ["raydr predict: terminated: all is saved"]),
        (StoppedRun("all is saved", signal.SIGINT), 130, ["raydr predict: interrupted: all is saved"]),
        (SystemExit(15), 143, ["raydr predict: terminated"]),  # Ray's own handler of SIGTERM, once it has started
    ],
)
def test_expected_failures_are_lines_without_a_traceback(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    status: int,
    lines: list[str],
) -> None:
    _outcome(monkeypatch, error)
    assert raydr(capsys, *PREDICT) == (status, "", "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (ZeroDivisionError("by\nzero"), "raydr predict: failed: ZeroDivisionError: by"),
        (ValueError(), "raydr predict: failed: ValueError: no message"),
        (WrappedByRayError(OSError("disk full")), "raydr predict: failed: OSError: disk full"),
    ],
)
def test_an_unforeseen_failure_keeps_its_traceback_and_ends_with_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, last: str
) -> None:
    _outcome(monkeypatch, error)
    status, out, err = raydr(capsys, *PREDICT)
    assert (status, out) == (1, "")
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1] == last


def test_sigterm_ends_a_verb_with_143_and_the_old_handler_is_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    _outcome(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert raydr(capsys, *PREDICT) == (143, "", "raydr predict: terminated\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    command = f"{sys.executable} -m raydr config schema run | (exec 0<&-)"
    shell = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(shell, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_terminal_without_arrows_still_shows_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "raydr", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert "usage: raydr" in done.stdout


def test_submit_checks_the_job_here_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "raydr.workflows.submit", None)  # whatever would be sent fails
    (tmp_path / "job.toml").write_text('job = "predict"\nmodel = "m"\nimages = "i"\n')
    for words, line in (
        (["predict", "--config", "job.toml"], "raydr: job.toml: out: is required and missing\n"),
        (["config", "check", "."], "raydr: config: runs here, not as a job; allowed: index, "),
        (["predict", "--config", "none.toml"], "raydr: none.toml: cannot be read: No such file or directory\n"),
    ):
        status, out, err = raydr(capsys, "submit", "--working-dir", str(tmp_path), "--", *words)
        assert (status, out) == (2, "")
        assert err.startswith(line)
    status, _, err = raydr(capsys, "submit", "--working-dir", str(tmp_path / "none"), "--", *PREDICT)
    assert (status, err) == (2, f"raydr: submit: --working-dir: {tmp_path / 'none'} is no folder\n")


def test_submit_hands_over_the_job_and_exits_with_its_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def submit(words: list[str], **rest: Any) -> int:
        given.update(rest, words=words)
        return 143

    monkeypatch.setitem(sys.modules, "raydr.workflows.submit", SimpleNamespace(submit=submit))
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "runtime_env.yaml").write_text("env_vars: {}")
    options = ["--follow", "--name", "mine", "--env", "A", "--env", "B", "--working-dir", str(tmp_path)]
    status, _, err = raydr(capsys, "submit", *options, "--", *PREDICT, "--set", "seed=3")
    assert (status, err) == (143, "")
    assert given.pop("words") == [*PREDICT, "--set", "seed=3"]
    assert given.pop("settings").seed == 3
    assert given == {
        "name": "mine",
        "address": None,
        "working_dir": str(tmp_path),
        "runtime_env": str(tmp_path / "cluster" / "runtime_env.yaml"),
        "environment": ["A", "B"],
        "follows": True,
    }


def test_doctor_takes_the_settings_of_any_job_and_exits_with_what_it_finds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setitem(
        sys.modules, "raydr.workflows.doctor", SimpleNamespace(doctor=lambda settings: seen.append(settings) or 1)
    )
    monkeypatch.setattr("raydr.workflows.environment.set_environment", lambda _: None)
    (tmp_path / "site.toml").write_text("[cluster]\nnum_workers = 3\n")
    files = ["--config", str(ROOT / "jobs" / "predict.toml"), "--config", str(tmp_path / "site.toml")]
    assert raydr(capsys, "doctor", *files)[0] == 1
    assert raydr(capsys, "doctor", "--set", "cluster.num_workers=2")[0] == 1
    assert [(type(found).__name__, found.cluster.num_workers) for found in seen] == [("PredictSettings", 3), ("Job", 2)]
