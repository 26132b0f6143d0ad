"""The teacher's outputs over all training images: computed once, kept beside the result, shared by all students."""

import numpy as np
from numpy.typing import NDArray

from raydr import storage
from raydr.config.images import DataSettings
from raydr.config.site import ClusterSettings
from raydr.engine.package import NUM_OUTPUTS, Head, ModelDescription, read_description
from raydr.errors import InputError
from raydr.inference.scoring import NumViews, score_images
from raydr.training.teacher import write_teacher_logits
from raydr.workflows.console import say
from raydr.workflows.images import Rows
from raydr.workflows.placement import placement_of


def read_teacher(folder: str) -> tuple[ModelDescription, Head]:
    """What the teacher in ``folder`` is, and its head; InputError where it has none."""
    description = read_description(folder)
    if description.head is None:
        raise InputError(f"{folder}: teacher: is a backbone without a head; `finetune` makes a teacher")
    return description, description.head


def teach(
    uri: str,
    *,
    teacher: str,
    head: Head,
    rows: Rows,
    data: DataSettings,
    num_views: NumViews,
    cluster: ClusterSettings,
) -> str:
    """``uri``, where the teacher's logits [rows of the manifest, outputs] now are; needs a connected cluster."""
    if storage.exists(uri):
        say("  teacher: its outputs are there already")
        return uri
    chosen = rows.manifest.take(rows.train).select(["image_id", "uri"])
    scored = score_images(chosen, teacher, shards=data.shards, num_views=num_views, placement=placement_of(cluster))
    logits: NDArray[np.float32] = np.full((rows.manifest.num_rows, NUM_OUTPUTS[head]), np.nan, dtype=np.float32)
    for row, values in zip(rows.train.tolist(), scored["logits"].to_pylist(), strict=True):
        if values is not None:
            logits[row] = values
    write_teacher_logits(uri, logits)
    say(f"  teacher: scored {len(rows.train)} training images, {num_views} views each")
    return uri
