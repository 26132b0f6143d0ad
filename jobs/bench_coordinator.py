"""What Ray Data's split coordinator works for a task and for a block: it is one process for all trainers.

Made-up pictures that cost nothing go through raydr's own stream to two readers. The coordinator is asked for the
processor time that it has used, so other work on the machine counts little. In ms of it:

  task        a decoding task that is started and ended
  block       a block of 64 pictures that a task makes
  held block  a block of 64 pictures that lies in memory

  python jobs/bench_coordinator.py --json bench_coordinator.json

These are coordinator_task_ms, coordinator_block_ms and coordinator_held_ms of `raydr plan`'s [simulation].
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from benchmark import Figure, arguments, interleaved, publish

_BLOCK, _SIDE_PX, _READERS = 64, 8, 2


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "")
    options = parser.parse_args()
    from raydr.workflows.environment import set_environment

    set_environment(None)
    from raydr.config.site import ClusterSettings
    from raydr.workflows.cluster import connected

    few = 20 if options.quick else 100
    with connected(ClusterSettings(local_cpus=2, object_store_mib=300)):
        # So many tasks and blocks more cost so much more; what an execution costs once falls out.
        contenders = {
            "few": lambda: {"s": coordinator_seconds(few, 1, held=False)},
            "more blocks": lambda: {"s": coordinator_seconds(few, 4, held=False)},
            "more tasks": lambda: {"s": coordinator_seconds(4 * few, 1, held=False)},
            "few held": lambda: {"s": coordinator_seconds(few, 1, held=True)},
            "more held": lambda: {"s": coordinator_seconds(10 * few, 1, held=True)},
        }
        found = interleaved(contenders, rounds=options.rounds or (1 if options.quick else 3))
    seconds = {name: np.array(figures["s"]) for name, figures in found.items()}
    block = (seconds["more blocks"] - seconds["few"]) / (3 * few)
    both = (seconds["more tasks"] - seconds["few"]) / (3 * few)
    held = (seconds["more held"] - seconds["few held"]) / (9 * few)
    figures = {"task": both - block, "block": block, "held block": held}
    publish({name: Figure("ms", list(1000 * value)) for name, value in figures.items()}, [], file=options.json)


def coordinator_seconds(num_tasks: int, blocks_per_task: int, *, held: bool) -> float:
    """Processor time of the coordinator for one epoch of a stream, the second after it has begun."""
    import ray

    from raydr.data.blocks import DecodeRoom, map_plan

    total = _BLOCK * blocks_per_task * num_tasks
    dataset = map_plan(
        pa.table({"row": np.arange(total)}),
        _pictures,
        plan=lambda _epoch: np.array_split(np.arange(total), num_tasks),
        room=DecodeRoom(0.5),
        block_bytes=_BLOCK * 3 * _SIDE_PX**2,
    )
    parts = (dataset.materialize() if held else dataset).streaming_split(_READERS, equal=True)
    coordinator = parts[0]._coord_actor  # noqa: SLF001 - there is no other way to it
    read = ray.remote(num_cpus=0)(_read)

    def used() -> float:
        return float(ray.get(coordinator.__ray_call__.remote(lambda _: time.process_time())))

    ray.get([read.remote(part) for part in parts])
    before = used()
    if sum(ray.get([read.remote(part) for part in parts])) != total:
        raise AssertionError
    seconds = used() - before
    ray.kill(coordinator)
    return seconds


def _pictures(rows: pa.Table) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(rows), _BLOCK):
        part = rows["row"].to_numpy()[start : start + _BLOCK]
        yield {
            "image": np.zeros((len(part), 3, _SIDE_PX, _SIDE_PX), np.uint8),
            "row": part,
            "grade": np.full(len(part), -1),
        }


def _read(part: object) -> int:
    return sum(len(batch["row"]) for batch in part.iter_batches(batch_size=_BLOCK, batch_format="numpy"))  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
