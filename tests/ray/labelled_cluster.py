"""Run by test_placement as a program of its own: a cluster with a node that decodes and a node with a GPU."""

import json
import sys
import tempfile

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.cluster_utils import Cluster

from raydr.config.site import ClusterSettings
from raydr.data.blocks import DecodeRoom, map_plan
from raydr.data.epochs import start_clock
from raydr.data.node_reports import NodeProbes, own_versions
from raydr.data.nodes import alive_nodes
from raydr.data.order import shuffled_rows
from raydr.errors import InputError
from raydr.training.room import check_room
from raydr.training.streams import StreamedBatches
from raydr.training.trainer import trainer_label

NUM_IMAGES, STORE = 64, 80 * 2**20
SETTINGS = ClusterSettings(num_workers=1, gpus_per_worker=1.0, cpus_per_worker=1.0, decode_label="tier=cpu")


def here():
    """This process's node, as a number that fits a batch."""
    return int(ray.get_runtime_context().get_node_id()[:8], 16)


def decode(chunk):
    """Pictures that say where they were made, for want of something to see."""
    images = np.zeros((chunk.num_rows, 3, 8, 8), dtype=np.uint8)
    return {"image": images, "row": chunk["row"].to_numpy(), "grade": np.full(chunk.num_rows, here())}


def plan(epoch):
    return shuffled_rows(epoch, num_rows=NUM_IMAGES, seed=0)


@ray.remote(num_cpus=1, num_gpus=1)
class Trainer:
    """Reads its part of the stream."""

    def read(self, iterator, clock, rank):
        batches = list(StreamedBatches(iterator, clock, NUM_IMAGES, 8, rank, 2).epoch(0))
        return here(), sorted({node for batch in batches for node in batch.grade.tolist()}), len(batches)


def refusal(**changes):
    """What a training with these settings is told."""
    try:
        check_room(SETTINGS.model_copy(update=changes), alive_nodes())
    except InputError as error:
        return str(error)
    return None


def main():
    """Print where trainers and decoding tasks ran."""
    with tempfile.TemporaryDirectory(prefix="raydr-") as folder:
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": STORE,
                "temp_dir": folder,
                "include_dashboard": False,
            },
        )
        nodes = {
            name: cluster.add_node(**resources, labels={"tier": name}, object_store_memory=STORE)
            for name, resources in {"cpu": {"num_cpus": 2}, "gpu": {"num_cpus": 3, "num_gpus": 2}}.items()
        }
        try:
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            data = ray.data.DataContext.get_current()
            data.enable_progress_bars, data.print_on_execution_start = False, False
            clock = start_clock()
            table = pa.table({"row": np.arange(NUM_IMAGES)})
            dataset = map_plan(table, decode, plan=plan, room=DecodeRoom(1.0, "tier=cpu"), clock=clock)
            iterators = dataset.streaming_split(2, equal=True)
            trainers = [Trainer.options(label_selector=trainer_label(SETTINGS)).remote() for _ in iterators]
            read = ray.get(
                [
                    trainer.read.remote(iterator, clock, rank)
                    for rank, (trainer, iterator) in enumerate(zip(trainers, iterators, strict=True))
                ]
            )
            without_gpu = ray.remote(here).options(num_cpus=1, label_selector=trainer_label(SETTINGS))
            found = {
                "nodes": {name: int(node.node_id[:8], 16) for name, node in nodes.items()},
                "ids": [cluster.head_node.node_id, *(node.node_id for node in nodes.values())],
                "trainers": [node for node, _, _ in read] + ray.get([without_gpu.remote() for _ in range(2)]),
                "decoders": sorted({node for _, decoders, _ in read for node in decoders}),
                "reports": [
                    (report.node.node_id, report.fault, report.storage, report.versions == own_versions())
                    for report in NodeProbes(alive_nodes()).reports(f"{folder}/out/.probe")
                ],
                "batches": [count for _, _, count in read],
                "refusals": {
                    "none": refusal(),
                    "label": refusal(decode_label="tier=spot"),
                    "cpus": refusal(decode_cpus=3.0),
                    "workers": refusal(num_workers=2, cpus_per_worker=2.0),
                },
            }
        finally:
            ray.shutdown()
            cluster.shutdown()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
