"""The teacher as workers and trials find it: its networks' folders, and what they said, computed once for all."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr import storage
from raydr.data.manifest import FELLOW_COLUMNS, fellows_of
from raydr.engine.package import Head
from raydr.learning.distil import Teaching


@dataclass(frozen=True, slots=True)
class Teacher:
    """Where a teacher is; plain values, so that it can cross to another process."""

    head: Head
    folders: tuple[str, ...]
    """Model folders of its networks, all of one head and one preprocessing."""
    manifest: str
    """Whose rows the images are known by."""
    outputs: str | None
    """What `write_teacher_logits` wrote; None where the student asks the networks themselves."""

    def teaching(self, *, with_fellows: bool) -> Teaching:
        """What a student's loop wants of it; ``with_fellows`` looks for each image's other eye among all rows, too."""
        if self.outputs is None:
            return Teaching(None, self.head, self.folders)
        columns = ["image_id", *(FELLOW_COLUMNS if with_fellows else ())]
        manifest = storage.read_table(self.manifest, columns=columns)
        logits = read_teacher_logits(self.outputs, manifest["image_id"])
        return Teaching(logits, self.head, self.folders, fellows_of(manifest) if with_fellows else None)


def write_teacher_logits(uri: str, image_ids: pa.ChunkedArray, logits: NDArray[np.float32]) -> None:
    """Write outputs [images, outputs] by image, NaN where the teacher could not read one."""
    columns = {f"logit_{number}": logits[:, number] for number in range(logits.shape[1])}
    storage.write_table(uri, pa.table({"image_id": image_ids, **columns}))


def read_teacher_logits(uri: str, image_ids: pa.ChunkedArray) -> NDArray[np.float32]:
    """Outputs [images, outputs] of ``image_ids`` in their order, NaN where there is none."""
    table = storage.read_table(uri)
    place = pc.index_in(image_ids, value_set=table["image_id"].combine_chunks())
    found = table.drop_columns(["image_id"]).take(place.combine_chunks())  # a null place makes a null row
    return np.column_stack([column.to_numpy().astype(np.float32) for column in found.columns])
