"""A table as the tasks of a Ray Data pipeline."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pyarrow as pa
import ray.data
from numpy.typing import NDArray
from ray.data import Datasource, ReadTask
from ray.data.block import Block, BlockAccessor, BlockMetadata

from raydr.data.epochs import EpochClock
from raydr.data.nodes import alive_nodes, label_pair
from raydr.data.order import ROWS_PER_TASK, Plan, in_order

_TASKS_PER_CPU: Final = 4  # few images are still spread over all CPUs, and the last task is not waited for long
_STALL_TIMEOUT_S: Final = 600.0  # Ray Data itself waits half an hour for CPUs that never come

ColumnBatch: TypeAlias = dict[str, NDArray[Any]] | pa.Table
Function: TypeAlias = Callable[[pa.Table], ColumnBatch | Iterator[ColumnBatch]]


@dataclass(frozen=True, slots=True)
class DecodeRoom:
    """What decoding tasks take of the cluster."""

    num_cpus: float = 1.0
    """CPUs one task reserves."""
    label: str | None = None
    """`key=value` of the nodes that tasks run on; None: on any."""
    grows: bool = False
    """The cluster grows on demand, so its present size says nothing."""

    @property
    def selector(self) -> dict[str, str]:
        """The label as Ray takes it."""
        return {} if self.label is None else dict([label_pair(self.label)])

    def num_tasks(self) -> float:
        """How many run at once where nothing else runs."""
        cpus = sum(node.cpus for node in alive_nodes() if self.label is None or node.has_label(self.label))
        return max(1.0, cpus / self.num_cpus)


def cluster_total(resource: str) -> float:
    """How much of a resource (``CPU``, ``GPU``, ``object_store_memory`` in bytes) the cluster has now, used or not."""
    return float(ray.cluster_resources().get(resource, 0.0))  # type: ignore[no-untyped-call]


def chunk_sizes(num_rows: int, *, num_chunks: int | None = None) -> list[int]:
    """Sizes of even chunks of a table, as many as suit the cluster unless ``num_chunks`` says how many."""
    if num_chunks is None:
        num_cpus = max(1, int(cluster_total("CPU")))
        num_chunks = max(-(-num_rows // ROWS_PER_TASK), _TASKS_PER_CPU * num_cpus)
    size, larger = divmod(num_rows, num_chunks)
    return [length for length in [size + 1] * larger + [size] * (num_chunks - larger) if length]


def map_chunks(table: pa.Table, function: Function, *, sizes: Sequence[int], num_cpus: float) -> ray.data.Dataset:
    """What ``function`` makes of consecutive chunks of ``table``, lazily, one task a chunk, in the table's order."""
    if not sum(sizes) == table.num_rows > 0:
        raise ValueError(f"chunks of {sum(sizes)} rows in all do not make up a table of {table.num_rows}")
    return map_plan(table, function, plan=functools.partial(in_order, sizes=tuple(sizes)), room=DecodeRoom(num_cpus))


def map_plan(
    table: pa.Table,
    function: Function,
    *,
    plan: Plan,
    room: DecodeRoom,
    clock: EpochClock | None = None,
    block_bytes: int | None = None,
    ahead_bytes: float | None = None,
) -> ray.data.Dataset:
    """What ``function`` makes of rows of ``table``, lazily, one task for each set of rows in ``plan``, in its order.

    Args:
        table: Lies once in the object store.
        function: Gets a task's rows; what it yields piece by piece are blocks.
        plan: The rows of each task in an epoch.
        room: What the tasks take of the cluster.
        clock: Which epoch it is; None: always the first.
        block_bytes: A piece of at least so many bytes is a block of its own; None: Ray Data joins pieces.
        ahead_bytes: What is made before it is asked for stays below about so much; None: half the object store.
    """
    source = ChunksDatasource(table, function, plan, clock)
    dataset: ray.data.Dataset = ray.data.read_datasource(
        source, override_num_blocks=len(plan(0)), num_cpus=room.num_cpus
    )
    context = dataset.context
    context.execution_no_progress_timeout_s = _STALL_TIMEOUT_S
    if block_bytes is not None:
        context.target_max_block_size = block_bytes
    options = context.execution_options
    options.preserve_order = True
    options.label_selector = room.selector or None
    if ahead_bytes is not None:
        options.resource_limits = options.resource_limits.copy(object_store_memory=ahead_bytes)
    return dataset


class ChunksDatasource(Datasource):
    """Chunks of a table that lies once in the object store.

    Beside `ray.data.from_arrow` and a map over it: building the dataset runs no task (those wait for ever where
    trainers hold every CPU), every execution can have another order, and Ray fuses a read with no batched operator
    behind it, which would undo the chunks.
    """

    def __init__(self, table: pa.Table, function: Function, plan: Plan, clock: EpochClock | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._table = ray.put(table)
        self._function = function
        self._plan = plan
        self._clock = clock

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: it is for ``function`` to say."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,  # noqa: ARG002
        per_task_row_limit: int | None = None,
        data_context: Any = None,  # noqa: ARG002
    ) -> list[ReadTask]:
        """One task for each set of rows of this epoch's plan, whatever ``parallelism`` is wanted."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        epoch = 0 if self._clock is None else self._clock.now()
        return [
            ReadTask(_reading(self._table, self._function, rows), unknown, per_task_row_limit=per_task_row_limit)
            for rows in self._plan(epoch)
        ]


def _reading(table: "ray.ObjectRef[pa.Table]", function: Function, rows: NDArray[Any]) -> Callable[[], Iterable[Block]]:
    def read() -> Iterable[Block]:
        made = function(ray.get(table).take(rows))
        for piece in made if isinstance(made, Iterator) else [made]:
            yield BlockAccessor.batch_to_block(piece)

    return read
