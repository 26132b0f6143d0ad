"""The reports of `index` and `prepare`, filled with what the verbs found."""

import datetime
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr.config.jobs import IndexSettings, PrepareSettings
from raydr.config.show import as_toml
from raydr.config.sources import CsvSource, EyepacsSource, SourceSettings
from raydr.data.audit import LeakAudit
from raydr.data.index import IndexResult
from raydr.data.manifest import grades_of, rows_of_images, summary
from raydr.data.photographs import read_photograph
from raydr.grades import REFERABLE_GRADE
from raydr.images.preprocess import Preprocess
from raydr.reporting.index_report import IndexReport
from raydr.reporting.montage import choose, make_tiles
from raydr.reporting.prepare_report import PrepareReport
from raydr.reporting.wording import counted
from raydr.splits import digest_of
from raydr.tracking.store import without_credentials
from raydr.workflows.documents import title_of
from raydr.workflows.job import Stage

REPORT = "report.html"


def index_report(
    settings: IndexSettings,
    stage: Stage,
    *,
    manifest: pa.Table,
    budget: pa.Table,
    findings: pa.Table,
    checks: Sequence[str],
    notes: Sequence[str],
) -> IndexReport:
    """The report of an index.

    Args:
        settings: The verb's.
        stage: Its frame.
        manifest: Every image.
        budget: `image_id` of the budgeted ones.
        findings: The leak audit's, waived or not.
        checks: Those that it made.
        notes: What else was found, a sentence each.
    """
    budgeted = manifest.filter(pc.is_in(manifest["image_id"], value_set=budget["image_id"].combine_chunks()))
    sources = {
        name: f"{source.layout} layout, {source.role}: {_place(source)}" for name, source in settings.sources.items()
    }
    return IndexReport(
        title=title_of(settings, "index"),
        created=datetime.datetime.now(datetime.UTC),
        data=summary(manifest),
        budget=summary(budgeted),
        findings=findings,
        checks=checks,
        waived=settings.waive,
        notes=notes,
        sources={name: without_credentials(words) for name, words in sources.items()},
        settings=without_credentials(as_toml(settings)),
        digests={"label budget": digest_of(budget["image_id"].to_pylist()), **_digests(stage)},
    )


def index_notes(found: IndexResult, audit: LeakAudit) -> list[str]:
    """What an index leaves out, lets pass or cannot give a figure for, a sentence each; nothing where it is nothing."""
    counts = [
        (found.num_dropped, "label", "without an image: left out"),
        (found.num_unlisted, "photograph", "that no label names: left out (a row with an empty grade takes one in)"),
        (audit.num_unreadable, "file", "that cannot be read: not compared, and for prepare to quarantine"),
        (audit.num_without_picture or 0, "file", "without a picture to compare: compared byte by byte alone"),
    ]
    notes = [f"{found.leak}."] if found.leak.num_patients else []
    notes += [f"{counted(number, thing)} {what}." for number, thing, what in counts if number]
    if audit.num_without_picture is None:
        notes.append("Near-identical images were not looked for (near_identical = false).")
    return notes + _one_sided(found)


def _one_sided(found: IndexResult) -> list[str]:
    """Where all grades are on one side of referable: nothing can be learned or measured there."""
    grades = grades_of(found.manifest)
    budget = rows_of_images(found.manifest, found.budget["image_id"].to_pylist())
    parts = {"The label budget": grades[budget]}
    datasets, splits = (np.array(found.manifest[name].to_pylist()) for name in ("dataset", "split"))
    for dataset in sorted(set(datasets)):
        for split in ("val", "test", "external"):
            parts[f"{dataset} {split}"] = grades[(datasets == dataset) & (splits == split)]
    notes = []
    for name, held in parts.items():
        is_referable = held[held >= 0] >= REFERABLE_GRADE
        if len(is_referable) and is_referable.all() == is_referable.any():
            kind = "is referable" if not is_referable.any() else "is other than referable"
            what = (
                "a teacher cannot learn the difference" if name == "The label budget" else "there is no AUC to compute"
            )
            notes.append(f"{name}: none of {counted(len(is_referable), 'graded image')} {kind}, so {what}.")
    return notes


def prepare_report(
    settings: PrepareSettings,
    stage: Stage,
    *,
    preprocess: Preprocess,
    quality: pa.Table,
    quarantine: pa.Table,
    num_shards: int,
    num_bytes: int,
) -> PrepareReport:
    """The report of a preparation; it reads the photographs of its montage again, some thirty.

    Args:
        settings: The verb's.
        stage: Its frame.
        preprocess: What made the shards' pictures.
        quality: A row for every photograph that was prepared.
        quarantine: A row for every other one.
        num_shards: All that there are.
        num_bytes: Of the shards.
    """
    tiles = None
    if settings.montage:
        tiles = make_tiles(quality, choose(quality, seed=settings.seed), read=read_photograph, preprocess=preprocess)
    return PrepareReport(
        title=title_of(settings, "prepare"),
        created=datetime.datetime.now(datetime.UTC),
        num_images=quality.num_rows + quarantine.num_rows,
        num_written=quality.num_rows,
        num_shards=num_shards,
        num_bytes=num_bytes,
        quarantine=quarantine,
        quality=quality,
        side_px=preprocess.canvas_px,
        is_cropped=preprocess.crop,
        enhance=preprocess.enhance,
        tiles=tiles,
        settings=without_credentials(as_toml(settings)),
        digests=_digests(stage),
    )


def _place(source: SourceSettings) -> str:
    match source:
        case CsvSource() | EyepacsSource():
            return source.images
        case _:
            return source.root


def _digests(stage: Stage) -> dict[str, str]:
    return {"settings": stage.settings_digest, **stage.inputs}
