"""A table as the ordered tasks of a Ray Data pipeline."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import ray.data
from numpy.typing import NDArray
from ray.data import Datasource, ReadTask
from ray.data.block import Block, BlockAccessor, BlockMetadata

# A task of 64 photographs takes seconds and holds about 10 MB of pictures: long beside its start, small beside memory.
_LARGEST_CHUNK: Final = 64
_TASKS_PER_CPU: Final = 4  # few images are still spread over all CPUs, and the last task is not waited for long
_STALL_TIMEOUT_S: Final = 600.0  # Ray Data itself waits half an hour for CPUs that never come

ColumnBatch: TypeAlias = dict[str, NDArray[Any]] | pa.Table


def cluster_total(resource: str) -> float:
    """How much of a resource (``CPU``, ``GPU``, ``object_store_memory`` in bytes) the cluster has now, used or not."""
    return float(ray.cluster_resources().get(resource, 0.0))  # type: ignore[no-untyped-call]


def chunk_sizes(num_rows: int, *, num_chunks: int | None = None) -> list[int]:
    """Sizes of even chunks of a table, as many as suit the cluster unless ``num_chunks`` says how many."""
    if num_chunks is None:
        num_cpus = max(1, int(cluster_total("CPU")))
        num_chunks = max(-(-num_rows // _LARGEST_CHUNK), _TASKS_PER_CPU * num_cpus)
    size, larger = divmod(num_rows, num_chunks)
    return [length for length in [size + 1] * larger + [size] * (num_chunks - larger) if length]


def map_chunks(
    table: pa.Table, function: Callable[[pa.Table], ColumnBatch], *, sizes: Sequence[int], num_cpus: float
) -> ray.data.Dataset:
    """What ``function`` makes of consecutive chunks of ``table``, lazily, one task a chunk, in the table's order."""
    if not sum(sizes) == table.num_rows > 0:
        raise ValueError(f"chunks of {sum(sizes)} rows in all do not make up a table of {table.num_rows}")
    dataset: ray.data.Dataset = ray.data.read_datasource(
        ChunksDatasource(table, function, sizes), override_num_blocks=len(sizes), num_cpus=num_cpus
    )
    dataset.context.execution_options.preserve_order = True
    dataset.context.execution_no_progress_timeout_s = _STALL_TIMEOUT_S
    return dataset


class ChunksDatasource(Datasource):
    """Chunks of a table that lies once in the object store.

    Beside `ray.data.from_arrow` and a map over it: building the dataset runs no task (those wait for ever where
    trainers hold every CPU), and Ray fuses a read with no batched operator behind it, which would undo the chunks.
    """

    def __init__(self, table: pa.Table, function: Callable[[pa.Table], ColumnBatch], sizes: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._table = ray.put(table)
        self._function = function
        self._ends = np.cumsum(sizes).tolist()

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: it is for ``function`` to say."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002
        per_task_row_limit: int | None = None,
        data_context: Any = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """One task a chunk, whatever ``parallelism`` is wanted."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        starts = [0, *self._ends[:-1]]
        return [
            ReadTask(
                _reading(self._table, self._function, start, end - start),
                unknown,
                per_task_row_limit=per_task_row_limit,
            )
            for start, end in zip(starts, self._ends, strict=True)
        ]


def _reading(
    table: "ray.ObjectRef[pa.Table]", function: Callable[[pa.Table], ColumnBatch], start: int, length: int
) -> Callable[[], Iterable[Block]]:
    def read() -> Iterable[Block]:
        yield BlockAccessor.batch_to_block(function(ray.get(table).slice(start, length)))

    return read
