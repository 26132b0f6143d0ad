"""The teacher's outputs over all training images: computed once, kept beside the result, shared by all students."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raydr import storage
from raydr.config.images import DataSettings
from raydr.config.site import ClusterSettings
from raydr.engine.package import NUM_OUTPUTS, Head, ModelDescription, read_description
from raydr.errors import InputError
from raydr.images.dihedral import NumViews
from raydr.inference.scoring import score_images
from raydr.training.teacher import Teacher, write_teacher_logits
from raydr.workflows.console import say
from raydr.workflows.images import Rows
from raydr.workflows.job import identity_of
from raydr.workflows.placement import placement_of


def teacher_inputs(folders: Sequence[str]) -> dict[str, str]:
    """A teacher's networks as a stage's inputs, by name."""
    return {f"teacher_{number}" if number else "teacher": folder for number, folder in enumerate(folders)}


def outputs_name(digests: Mapping[str, str], num_views: int) -> str:
    """The file of a teacher's outputs: another name where teacher, images or views are others.

    Args:
        digests: Of a stage's inputs, by name.
        num_views: Of each image.
    """
    shaping = {name: digest for name, digest in digests.items() if name.startswith(("teacher", "manifest", "shards"))}
    return f"teacher-{identity_of(str(num_views), shaping)[:12]}.parquet"


def read_teacher(folders: Sequence[str]) -> tuple[ModelDescription, Head]:
    """What the teacher is, and its head.

    Raises:
        InputError: A network without a head, or networks that differ in head or preprocessing.
    """
    first, *others = (read_description(folder) for folder in folders)
    for folder, description in zip(folders, (first, *others), strict=True):
        if description.head is None:
            raise InputError(f"{folder}: teacher: is a backbone without a head; `finetune` makes a teacher")
        for what, own, wanted in (
            ("head", description.head, first.head),
            ("preprocessing", description.preprocess, first.preprocess),
        ):
            if own != wanted:
                raise InputError(
                    f"{folder}: teacher: has another {what} than {folders[0]}: {own}, not {wanted}; the networks of a "
                    "teacher must have the same"
                )
    if first.head is None:
        raise ValueError("a teacher has at least one network")
    return first, first.head


def teach(
    uri: str | None,
    *,
    teacher: Sequence[str],
    head: Head,
    rows: Rows,
    data: DataSettings,
    num_views: NumViews,
    cluster: ClusterSettings,
) -> Teacher:
    """The teacher, its logits on the training images now in ``uri`` (None: not asked for); needs a connected cluster.

    They are the mean over its networks and ``num_views`` views of each image: the mean of logits, not of
    probabilities, so that a temperature softens one network and several alike.
    """
    found = Teacher(head, tuple(storage.absolute(folder) for folder in teacher), storage.absolute(data.manifest), uri)
    if uri is None:
        return found
    if storage.exists(uri):
        say("  teacher: its outputs are there already")
        return found
    chosen = rows.manifest.take(rows.train).select(["image_id", "uri"])
    placement = placement_of(cluster)
    scored = score_images(chosen, found.folders, shards=data.shards, num_views=num_views, placement=placement)
    logits: NDArray[np.float32] = np.full((len(rows.train), NUM_OUTPUTS[head]), np.nan, dtype=np.float32)
    for place, values in enumerate(scored["logits"].to_pylist()):
        if values is not None:
            logits[place] = values
    write_teacher_logits(uri, chosen["image_id"], logits)
    networks = f" by {len(teacher)} networks" if len(teacher) > 1 else ""
    say(f"  teacher: scored {len(rows.train)} training images{networks}, {num_views} views each")
    return found
