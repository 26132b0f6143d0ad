"""What a job of a test stands on: a manifest of photographs, and a teacher that has learnt nothing."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from raydr import storage
from raydr.build import build_classifier
from raydr.config.learning import DownstreamModelSettings
from raydr.data.manifest import SCHEMA
from raydr.engine.context import LocalContext
from raydr.engine.package import ModelDescription, save_model
from raydr.images.preprocess import Preprocess


def write_manifest(
    folder: Path, uris: Sequence[str], *, split: Sequence[str], grade: Sequence[int] | None = None
) -> None:
    """Write `manifest.parquet` of photographs of one clinic."""
    columns: dict[str, Sequence[object]] = {name: [None] * len(uris) for name in SCHEMA.names}
    columns |= {"image_id": [Path(uri).name for uri in uris], "uri": uris, "dataset": ["clinic"] * len(uris)}
    columns |= {"split": split} | ({} if grade is None else {"grade": grade})
    storage.write_table(str(folder / "manifest.parquet"), pa.table(columns, schema=SCHEMA))


def write_teacher(folder: Path, *, side_px: int) -> None:
    """Write a classifier of random weights into `teacher`."""
    model = DownstreamModelSettings(backbone="test_resnet", weights="none")
    teacher = build_classifier(model, "binary", LocalContext(folder))
    save_model(str(folder / "teacher"), teacher, ModelDescription("test_resnet", "binary", Preprocess(side_px=side_px)))
