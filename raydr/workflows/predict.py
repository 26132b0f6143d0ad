"""`raydr predict`: the probability of referable retinopathy for new photographs."""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.config.jobs import PredictSettings
from raydr.errors import InputError
from raydr.inference.listing import list_images
from raydr.inference.scoring import score_images
from raydr.workflows.cluster import connected
from raydr.workflows.console import say
from raydr.workflows.job import RUN_FILE, Outcome, Stage, perform
from raydr.workflows.models import model_folder
from raydr.workflows.placement import placement_of
from raydr.workflows.result import StageResult, beside, read_result


def predict(settings: PredictSettings) -> StageResult:
    """The result of a prediction; its artifact `scores` has one row a photograph, unreadable ones with an error."""
    folder = model_folder(settings.model, settings)
    photographs = list_images(settings.images)
    scores = storage.absolute(settings.out)
    if storage.exists(scores) and read_result(scores) is None and not storage.exists(beside(scores, RUN_FILE)):
        raise InputError(f"{scores}: out: is there already and is none of raydr's results; choose another name")

    def body(_stage: Stage) -> Outcome:
        with connected(settings.cluster):
            table = score_images(
                photographs, folder, batch_size=settings.batch_size, placement=placement_of(settings.cluster)
            )
        storage.write_table(scores, table.drop_columns(["logits"]))
        num_failed = table.num_rows - pc.count(table["probability"]).as_py()
        say(f"  {table.num_rows} photographs scored, {num_failed} of them unreadable (column error): {scores}")
        return Outcome(
            {"num_images": table.num_rows, "num_failed": num_failed},
            {"scores": scores},
            {"num_images": table.num_rows, "num_failed": num_failed},
        )

    return perform(
        settings,
        "predict",
        inputs={"model": folder},
        digests={"images": _digest(photographs)},
        pipeline=None,
        body=body,
    )


def _digest(photographs: pa.Table) -> str:
    """Names, sizes and times of the photographs: a changed picture is scored again."""
    uris = photographs["uri"].to_pylist()
    versions = storage.file_versions(uris)
    lines = [f"{uri} {size} {mtime_ns}" for uri, (size, mtime_ns) in zip(uris, versions, strict=True)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
