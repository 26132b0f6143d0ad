"""The teacher's outputs on disk: computed once, read by every worker and trial."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raydr import storage


def write_teacher_logits(uri: str, logits: NDArray[np.float32]) -> None:
    """Write outputs [rows of the manifest, outputs], NaN where the teacher could not read an image."""
    columns = {f"logit_{number}": logits[:, number] for number in range(logits.shape[1])}
    storage.write_table(uri, pa.table(columns))


def read_teacher_logits(uri: str) -> NDArray[np.float32]:
    """Outputs [rows of the manifest, outputs]."""
    table = storage.read_table(uri)
    return np.column_stack([column.to_numpy().astype(np.float32) for column in table.columns])
