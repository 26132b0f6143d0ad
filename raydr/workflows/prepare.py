"""`raydr prepare`: photographs into shards of small cropped JPEGs, the unreadable ones into quarantine."""

from raydr import storage
from raydr.build import build_shard_preprocess
from raydr.config.jobs import PrepareSettings
from raydr.data.ingest import QUALITY_TABLE, QUARANTINE, SHARDS, prepare_shards
from raydr.data.manifest import read_manifest
from raydr.data.photographs import PASSING_REASONS
from raydr.data.prepared import Recipe
from raydr.data.shards import check_parts
from raydr.errors import InputError, RunError
from raydr.reporting.prepare_report import write_prepare_report
from raydr.workflows.cluster import connected
from raydr.workflows.console import say
from raydr.workflows.data_reports import REPORT, prepare_report
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.progress import ProgressLine
from raydr.workflows.result import StageResult


def prepare(settings: PrepareSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of preparation; its artifacts are `shards`, `quarantine`, `quality` and `report`."""

    def body(stage: Stage) -> Outcome:
        manifest = read_manifest(settings.manifest)
        preprocess = build_shard_preprocess(settings.preprocess, side_px=settings.side_px)
        with connected(settings.cluster):
            counts = prepare_shards(
                manifest.select(["image_id", "uri"]),
                out=stage.out,
                recipe=Recipe(preprocess, settings.jpeg_quality),
                images_per_shard=settings.images_per_shard,
                decode_cpus=settings.cluster.decode_cpus,
                max_bad_fraction=settings.max_bad_fraction,
                verify=settings.verify,
                on_progress=ProgressLine("photographs"),
            )
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.quarantined.items()))
        say(
            f"  {counts.num_written} of {counts.num_images} photographs prepared ({counts.num_new} of them now) in "
            f"{counts.num_shards} shards of {counts.num_bytes / 2**20:.1f} MiB; quarantine: {reasons or 'empty'}"
        )
        names = {"shards": SHARDS, "quarantine": QUARANTINE, "quality": QUALITY_TABLE, "report": REPORT}
        artifacts = {key: stage.path(name) for key, name in names.items()}
        report = prepare_report(
            settings,
            stage,
            preprocess=preprocess,
            quality=storage.read_table(artifacts["quality"]),
            quarantine=storage.read_table(artifacts["quarantine"]),
            num_shards=counts.num_shards,
            num_bytes=counts.num_bytes,
        )
        write_prepare_report(artifacts["report"], report)  # before too many bad ones are refused: it shows them
        bad = counts.num_images - counts.num_written
        if not counts.is_complete:
            raise RunError(
                f"prepare: {bad} of {counts.num_images} photographs cannot be read ({reasons}), more than "
                f"max_bad_fraction = {settings.max_bad_fraction:g}; see {stage.path(QUARANTINE)}; the rest is prepared"
            )
        metrics = {
            "num_images": counts.num_images,
            "num_written": counts.num_written,
            "quarantined": dict(counts.quarantined),
            "num_new": counts.num_new,
            "num_shards": counts.num_shards,
            "bytes": counts.num_bytes,
        }
        return Outcome(metrics, artifacts, {"num_images": counts.num_images, "num_quarantined": bad})

    def find_fault(previous: StageResult) -> str | None:
        if settings.verify:
            return "its shards are to be verified"
        passing = {reason: previous.metrics["quarantined"].get(reason, 0) for reason in PASSING_REASONS}
        if failed := [f"{count} {reason}" for reason, count in passing.items() if count]:
            return f"photographs may be there now ({', '.join(failed)})"
        try:
            check_parts(previous.artifacts["shards"])
        except InputError as error:
            return f"its shards are not whole ({error})"
        return None

    return perform(
        settings,
        "prepare",
        inputs={"manifest": settings.manifest},
        pipeline=pipeline,
        find_fault=find_fault,
        body=body,
    )
