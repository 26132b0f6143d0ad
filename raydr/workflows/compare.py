"""`raydr compare`: two models on the same patients, the difference of their AUC with interval, a page."""

import dataclasses
import datetime
import json
import math
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.config.jobs import CompareSettings
from raydr.config.show import as_toml
from raydr.data.score_files import read_scored_images
from raydr.errors import InputError
from raydr.metrics.roc import roc_curve
from raydr.reporting.compare_report import ComparedDataset, CompareReport, p_text, write_compare_report
from raydr.reporting.table import terminal_table
from raydr.tracking.store import without_credentials
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Stage, perform
from raydr.workflows.pairing import PairedScores, Pairing, left_out_counts, pair_scores
from raydr.workflows.result import StageResult, finite, read_result

_FILES = {"comparison": "comparison.json", "report": "report.html"}
_LEFT_OUT = {
    "num_only_first": "only in A",
    "num_only_second": "only in B",
    "num_ungraded": "without a grade",
    "num_unscored": "without a score of both",
}
_LEARNED_FROM = ("train", "val")


def compare(settings: CompareSettings) -> StageResult:
    """The result of a comparison; its artifacts are `comparison` and `report`."""
    uris = (_scores_uri(settings.first, "first"), _scores_uri(settings.second, "second"))

    def body(stage: Stage) -> Outcome:
        tables = [_of_split(read_scored_images(uri), settings.split, uri) for uri in uris]
        pairing = pair_scores(tables[0], tables[1], names=uris)
        compared = [_compared(name, pairing.scores, settings) for name in _datasets(pairing.scores)]
        if not compared:
            raise InputError(f"{uris[0]}: no shared image has a grade and a score of both models")
        left_out = _left_out(pairing)
        say(f"  A  {settings.first}\n  B  {settings.second}\n\n{_table(compared, settings.level)}\n")
        for line in left_out:
            say(f"  {line}")
        artifacts = {name: stage.path(file) for name, file in _FILES.items()}
        figures = {found.name: dataclasses.asdict(found.difference) for found in compared}
        metrics = {"first": uris[0], "second": uris[1], "difference": figures, "left_out": left_out_counts(pairing)}
        storage.write_bytes(artifacts["comparison"], json.dumps(finite(metrics), indent=2).encode())
        write_compare_report(artifacts["report"], _report(settings, stage, compared, left_out))
        stage.tracker.log_files(stage.run_id, list(artifacts.values()))
        return Outcome(metrics, artifacts, _logged(figures))

    return perform(
        settings, "compare", inputs=dict(zip(("first", "second"), uris, strict=True)), pipeline=None, body=body
    )


def _scores_uri(given: str, key: str) -> str:
    """The file of scores that a folder's result names, or the file itself."""
    uri = storage.absolute(given)
    if not storage.is_folder(uri):
        return uri
    wanted = "allowed: the `out` of a finished `raydr evaluate`, or a CSV or Parquet file of scores"
    result = read_result(uri)
    if result is None:
        raise InputError(f"{uri}: {key}: holds no result of raydr; {wanted}")
    if "scores" not in result.artifacts:
        more = f", as {storage.join(given, 'evaluate-student')}" if result.verb == "run" else ""
        raise InputError(f"{uri}: {key}: holds the result of `raydr {result.verb}`, without scores; {wanted}{more}")
    name = result.artifacts["scores"].rstrip("/").rpartition("/")[2]
    moved = storage.join(uri, name)  # the folder may have been copied here
    return moved if storage.exists(moved) else result.artifacts["scores"]


def _of_split(table: pa.Table, split: str, uri: str) -> pa.Table:
    """The images of a split; all of a table that names no splits, for a test."""
    if split == "val":
        chosen = table.filter(pc.equal(table["split"], "val"))
    else:
        chosen = table.filter(pc.invert(pc.is_in(table["split"], value_set=pa.array(_LEARNED_FROM))))
    if not chosen.num_rows:
        kind = "validation" if split == "val" else "test"
        raise InputError(f"{uri}: split: none of its {table.num_rows} images is a {kind} image; see `split`")
    return chosen


def _datasets(scores: PairedScores) -> list[str]:
    """The data sets in the order of their first rows."""
    return list(dict.fromkeys(scores.dataset.tolist()))


def _compared(name: str, scores: PairedScores, settings: CompareSettings) -> ComparedDataset:
    own = scores.of(name)
    difference = own.difference(level=settings.level, method=settings.method, seed=settings.seed)
    first, second = own.judged()
    curves = None
    if math.isfinite(difference.value):
        curves = (roc_curve(first.is_referable, first.probability), roc_curve(second.is_referable, second.probability))
    return ComparedDataset(name, difference, curves, first.unit)


def _left_out(pairing: Pairing) -> list[str]:
    parts = [f"{number} {_LEFT_OUT[name]}" for name, number in left_out_counts(pairing).items() if number]
    lines = [f"left out images: {', '.join(parts)}"] if parts else []
    if not pairing.has_patients:
        lines.append(
            "no patients are named, so every image counts as one: two eyes of a patient make intervals too narrow"
        )
    return lines


def _table(compared: Sequence[ComparedDataset], level: float) -> str:
    rows = [
        [
            found.name if found.unit == "image" else f"{found.name} (by {found.unit})",
            f"{found.difference.first:.3f}",
            f"{found.difference.second:.3f}",
            str(found.difference),
            p_text(found.difference),
            str(found.difference.num_images),
            str(found.difference.num_patients),
        ]
        for found in compared
    ]
    return terminal_table(
        rows, ["data set", "AUC A", "AUC B", f"A - B [{level:.0%} interval]", "p", "images", "patients"]
    )


def _report(
    settings: CompareSettings, stage: Stage, compared: Sequence[ComparedDataset], left_out: Sequence[str]
) -> CompareReport:
    return CompareReport(
        title=f"raydr compare: {stage.out.rsplit('/', 1)[-1]}",
        created=datetime.datetime.now(datetime.UTC),
        first=without_credentials(settings.first),
        second=without_credentials(settings.second),
        split=settings.split,
        method=settings.method,
        datasets=compared,
        left_out=left_out,
        settings=without_credentials(as_toml(settings)),
        digests={"settings": stage.settings_digest, **stage.inputs},
    )


def _logged(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    names = {"value": "auc_difference", "low": "auc_difference_low", "high": "auc_difference_high", "p_value": "p"}
    return {f"{name}.{dataset}": found[key] for dataset, found in figures.items() for key, name in names.items()}
