"""A run's last screen: stages, figures, where to look next."""

from collections.abc import Mapping
from typing import Any

from raydr.reporting.table import terminal_table
from raydr.workflows.console import duration, say
from raydr.workflows.result import StageResult


def main_figure(result: StageResult) -> str:
    """The one figure of a stage that tells how it went."""
    figures = result.metrics
    match result.verb:
        case "index":
            return f"{figures['num_images']} images, {figures['num_budget']} labels in the budget"
        case "prepare":
            return f"{figures['num_written']} prepared, {figures['num_images'] - figures['num_written']} in quarantine"
        case "pretrain":
            return f"kNN AUC {_three(figures.get('knn_auc'))} (validation)"
        case "finetune":
            return f"teacher AUC {_with_error(figures)} (validation)"
        case "search":
            return f"student AUC {_with_error(figures)} (validation), best of {figures['num_trials']} trials"
        case "evaluate":
            name, auc = next(iter(figures["auc"].items()))
            return f"AUC {_three(auc['value'])} ({name} test)"
        case _:
            return ""


def say_summary(result: StageResult, stages: Mapping[str, StageResult], *, viewing: str) -> None:
    """Print the stages, the AUC of teacher and student, the report's path and how to open MLflow."""
    rows = [
        [name, "up to date" if stage.up_to_date else duration(stage.seconds), main_figure(stage)]
        for name, stage in stages.items()
    ]
    say("\n" + terminal_table(rows, ["stage", "time", "main figure"]) + "\n")
    rows = [
        [who, name, interval(auc), str(auc["num_images"]), str(auc["num_patients"]), str(auc["num_positive"])]
        for who, key in (("teacher", "teacher_auc"), ("student", "auc"))
        for name, auc in result.metrics[key].items()
    ]
    level = next(iter(result.metrics["auc"].values()))["level"]
    header = ["model", "data set", f"AUC [{level:.0%} interval]", "images", "patients", "referable"]
    say(terminal_table(rows, header) + "\n")
    say(f"report   {result.artifacts['report']}")
    if viewing:
        say(f"MLflow   {viewing}")


def interval(auc: Mapping[str, Any]) -> str:
    """An AUC with its interval, as it is quoted."""
    value = _three(auc["value"])
    return value if auc["value"] is None else f"{value} [{_three(auc['low'])}, {_three(auc['high'])}]"


def _with_error(figures: Mapping[str, Any]) -> str:
    """A validation AUC with its standard error, patients being its unit."""
    error = figures.get("val_auc_se")
    return _three(figures.get("val_auc")) + ("" if error is None else f" ± {error:.3f}")


def _three(value: Any) -> str:
    return "not defined" if value is None else f"{value:.3f}"
