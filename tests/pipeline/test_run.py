"""The whole chain through the command line: killed in mid-pretraining, resumed, then found up to date."""

import json
import signal
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from listening import command_lines, is_loopback, listening
from mlflow import MlflowClient

from raydr import __version__

pytestmark = pytest.mark.pipeline


def read_epochs(process, count):
    """What a run has printed up to its ``count``-th line of an epoch of pretraining."""
    lines = []
    while sum("pretrain epoch" in line for line in lines) < count:
        lines.append(process.stdout.readline())
        assert lines[-1], "".join(lines)
    return "".join(lines)


@pytest.fixture(scope="module")
def killed(workplace, raydr):
    """What a run had printed when its driver was killed with SIGKILL in pretraining, and the stage's MLflow run."""
    process = raydr("run", "--config", "run.toml")
    output = read_epochs(process, 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (workplace / "run" / "pretrain" / "result.json").exists()
    before = json.loads((workplace / "run" / "pretrain" / "run.json").read_text())
    return output, before["mlflow_run_id"]


@pytest.fixture(scope="module")
def terminated(killed, raydr):
    """Status and output of the same command, told to stop after two epochs (a spot pre-emption), and what it left.

    Also where it listened while it was training, and the command lines of its processes.
    """
    process = raydr("run", "--config", "run.toml")
    output = read_epochs(process, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    listened, commands = listening(process.pid), command_lines(process.pid)
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=60)
    _, left = psutil.wait_procs(children, timeout=20)
    return process.returncode, output + rest, [child.pid for child in left], listened, commands


@pytest.fixture(scope="module")
def finished(terminated, raydr):
    """What the same command printed at the third attempt."""
    process = raydr("run", "--config", "run.toml")
    output, _ = process.communicate(timeout=420)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def result(finished, workplace):
    return json.loads((workplace / "run" / "result.json").read_text())


def epochs_on(output):
    """The epochs on the screen, where numbers start at 1."""
    lines = [line for line in output.splitlines() if "pretrain epoch" in line]
    return [int(line.split("pretrain epoch ")[1].split("/")[0]) for line in lines]


def test_a_run_killed_in_pretraining_does_no_epoch_again_that_it_had_shown(killed, terminated):
    _, output, *_ = terminated
    assert "index: up to date" in output
    assert "prepare: up to date" in output
    assert epochs_on(output)[0] > epochs_on(killed[0])[-1]


def test_sigterm_ends_the_run_with_143_and_leaves_no_process_behind(terminated):
    status, output, left, _, commands = terminated
    assert status == 143, output
    assert output.splitlines()[-1].startswith("raydr run: terminated")
    assert len(commands) > 3
    assert not left


def test_while_it_trains_every_socket_of_its_processes_is_on_the_loopback_device(terminated):
    listened = terminated[3]
    names = [name for name, _ in listened]
    assert {"raylet", "gcs_server"} <= set(names)
    assert sum("RayTrainWorker" in name for name in names) >= 2
    assert [each for each in listened if not is_loopback(each[1])] == []


def test_a_run_whose_search_would_wait_for_ever_is_refused_before_its_first_stage(workplace, raydr):
    wanted = ["--set", "search.cpus_per_trial=9", "--set", f"out={workplace}/refused"]
    process = raydr("run", "--config", "run.toml", *wanted)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert output.splitlines()[-1].startswith("raydr: search: cpus_per_trial: is 9, the cluster has 2 CPUs; lower it")
    assert not (workplace / "refused").exists()


def test_a_terminated_run_does_no_epoch_again_that_it_had_shown(terminated, finished):
    assert epochs_on(finished)[0] > epochs_on(terminated[1])[-1]
    assert epochs_on(finished)[-1] == 12


def test_the_mlflow_run_of_the_killed_stage_is_continued_not_duplicated(killed, result, workplace):
    client = MlflowClient(f"sqlite:///{workplace}/run/mlflow.db")
    runs = client.search_runs([found.experiment_id for found in client.search_experiments()], max_results=200)
    names = [run.info.run_name for run in runs]
    assert [names.count(name) for name in ("run", "index", "pretrain", "finetune", "search")] == [1] * 5
    pretraining = next(run for run in runs if run.info.run_name == "pretrain")
    assert pretraining.info.run_id == killed[1]
    assert {run.info.status for run in runs} == {"FINISHED"}
    steps = [found.step for found in client.get_metric_history(killed[1], "loss")]
    assert sorted(set(steps)) == list(range(12))


def test_runs_nest_pipeline_stage_trial(result, workplace):
    client = MlflowClient(f"sqlite:///{workplace}/run/mlflow.db")
    runs = client.search_runs([found.experiment_id for found in client.search_experiments()], max_results=200)
    by_id = {run.info.run_id: run for run in runs}
    trials = [run for run in runs if run.info.run_name.startswith("trial")]
    assert len(trials) == 4
    for trial in trials:
        stage = by_id[trial.data.tags["mlflow.parentRunId"]]
        assert stage.info.run_name == "search"
        assert by_id[stage.data.tags["mlflow.parentRunId"]].info.run_id == result["mlflow_run_id"]
        assert "best_val_auc" in trial.data.metrics


def test_the_result_has_the_auc_of_student_and_teacher_on_every_test_set(result):
    for key in ("auc", "teacher_auc"):
        assert set(result["metrics"][key]) == {"phantoms", "elsewhere"}
        for found in result["metrics"][key].values():
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
            assert found["level"] == 0.95
            assert found["num_patients"] <= found["num_images"]
    assert result["metrics"]["auc"]["elsewhere"]["num_images"] == 28


def test_the_scores_of_an_evaluation_have_the_validation_images_and_what_is_known_of_each(result, workplace):
    scores = pq.read_table(workplace / "run" / "evaluate-student" / "scores.parquet").to_pylist()
    assert {row["split"] for row in scores} == {"val", "test", "external"}
    assert {row["eye"] for row in scores} == {"left", "right"}
    assert {row["camera"] for row in scores if row["error"] is None} == {"128 × 128", "128 × 96"}
    assert all(row["quality"] > 0 for row in scores if row["error"] is None)


def test_report_card_and_checklists_are_left_and_the_photographs_come_out_of_the_shards(result, workplace):
    pictures = pq.read_table(workplace / "run" / "evaluate-student" / "pictures.parquet").to_pylist()
    assert {row["dataset"] for row in pictures} <= {"phantoms", "elsewhere"}
    assert sum(row["kind"] == "highest score" for row in pictures) == 8
    assert all(row["heat_map"] for row in pictures)
    page = Path(result["artifacts"]["report"]).read_text()
    assert page.count("data:image/jpeg") == 2 * len(pictures)
    assert "student − teacher" in page
    assert len(page) < 3_000_000
    for name in ("model_card", "checklist"):
        text = Path(result["artifacts"][name]).read_text()
        assert "Research use only, not a medical device" in text
        assert "resnet" in text


def test_the_truncated_photograph_is_in_quarantine_and_cost_no_other(result, workplace):
    quarantine = pq.read_table(workplace / "run" / "prepare" / "quarantine.parquet").to_pylist()
    assert [row["reason"] for row in quarantine] == ["truncated"]
    counts = json.loads((workplace / "run" / "prepare" / "result.json").read_text())["metrics"]
    assert counts["num_written"] == counts["num_images"] - 1 == 115


def test_the_first_student_is_registered_as_challenger_and_champion_with_what_is_known_of_it(result, workplace):
    client = MlflowClient(f"sqlite:///{workplace}/run/mlflow.db")
    aliases = client.get_registered_model("raydr").aliases
    assert aliases["challenger"] == aliases["champion"]
    assert result["metrics"]["champion"]
    assert result["metrics"]["student_model"].endswith(f"/{aliases['champion']}")
    versions = client.search_model_versions("name='raydr'")
    # The search within a run registers nothing of its own.
    assert sorted(version.tags["raydr.role"] for version in versions) == ["student", "teacher"]
    tags = client.get_model_version("raydr", aliases["champion"]).tags
    assert tags["raydr.promotion"] == "there was no champion to be compared with"
    auc = result["metrics"]["auc"]["elsewhere"]
    assert tags["raydr.auc.elsewhere"] == f"{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
    assert "elsewhere external (28)" in tags["raydr.datasets"]
    assert tags["raydr.validation_auc"] == f"{result['metrics']['val_auc']:.4f}"
    assert tags["raydr.version"] == __version__
    assert len(tags["raydr.settings_digest"]) == 64


def test_the_last_screen_names_stages_figures_report_and_tracker(finished, result, workplace):
    for stage in ("index", "prepare", "pretrain", "finetune", "search", "evaluate teacher", "evaluate student"):
        assert stage in finished
    assert f"report   {workplace}/run/report.html" in finished
    assert f"mlflow ui --backend-store-uri sqlite:///{workplace}/run/mlflow.db" in finished
    found = result["metrics"]["auc"]["phantoms"]
    assert f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" in finished
    assert "Traceback" not in finished


def test_no_secret_of_the_environment_is_in_a_log_a_result_mlflow_or_a_command_line(
    killed, terminated, finished, result, workplace, sessions, planted
):
    written = {"screen": (killed[0] + terminated[1] + finished).encode(), "commands": "".join(terminated[4]).encode()}
    for folder in (workplace, sessions):
        found = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        written |= {str(path): path.read_bytes() for path in found}
    names = " ".join(written)
    for kind in ("raylet.out", "gcs_server.out", "worker-", "mlflow.db", "result.json", "mlartifacts", "report.html"):
        assert kind in names, kind
    assert [
        (name, of) for name, text in written.items() for of, secret in planted.items() if secret.encode() in text
    ] == []


def test_run_again_it_ends_at_once_saying_that_every_stage_is_up_to_date(result, raydr):
    process = raydr("run", "--config", "run.toml")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    stages = ("index", "prepare", "pretrain", "finetune", "search", "evaluate")
    assert [f"{stage}: up to date" in output for stage in stages] == [True] * len(stages)
    assert "cluster: started" not in output


def test_a_changed_setting_runs_its_stage_and_those_after_it_again(result, raydr, workplace):
    process = raydr("run", "--config", "run.toml", "--set", "evaluate.num_resamples=150")
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    assert "search: up to date" in output
    assert "evaluate: done" in output
    # The same student is compared with itself, scored anew as the champion.
    found = json.loads((workplace / "run" / "result.json").read_text())["metrics"]
    difference = found["promotion"]["difference"]
    assert difference["value"] == pytest.approx(0, abs=1e-3)
    assert difference["first"] == pytest.approx(found["val_auc"], abs=0.02)
    assert found["champion"]
    assert "it judges the validation images as the champion, version" in output
    assert not (workplace / "run" / "champion-compared").exists()


def test_predict_scores_a_folder_and_a_broken_file_is_a_row_with_an_error(result, raydr, workplace):
    model = result["artifacts"]["student"]
    process = raydr("predict", "--model", model, "--images", "phantoms/images", "--out", "scores.parquet")
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 0, output
    rows = pq.read_table(workplace / "scores.parquet").to_pylist()
    assert len(rows) == 88
    bad = [row for row in rows if row["error"] is not None]
    assert [row["error"].split(":")[0] for row in bad] == ["truncated"]
    assert bad[0]["probability"] is None
    for row in rows:
        if row["error"] is None:
            assert 0 <= row["probability"] <= 1
            assert sum(row[f"grade_{grade}"] for grade in range(5)) == pytest.approx(1, abs=1e-5)
            assert sum(row[f"grade_{grade}"] for grade in (2, 3, 4)) == pytest.approx(row["probability"], abs=1e-5)
    assert rows[0]["image"].endswith(rows[0]["image_id"])
