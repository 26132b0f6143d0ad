"""Run by test_survival as a program of its own: a training whose nodes are lost, announced as lost, and replaced."""

import json
import os
import sys
import tempfile
import threading
import time

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

from raydr import storage
from raydr.config.site import ClusterSettings
from raydr.config.stages import PretrainStage
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.training import trainer
from raydr.training.states import SavedStates
from raydr.training.worker import STREAM, Work

SIDE_PX, STORE = 32, 100 * 2**20
KINDS = {
    # Announced losses have a budget of their own, and there is no other state in mid-epoch than the one they cause.
    "drained": {
        "workers": {"num_workers": 2, "max_failures": 0},
        "nodes": 2,
        "images": 4000,
        "epochs": 1000,
        "every": None,
    },
    "elastic": {
        "workers": {"num_workers": 2, "max_workers": 3, "save_every_minutes": None},
        "nodes": 3,
        "images": 1600,
        "epochs": 1000,
        "every": 5,
    },
}


class Training:
    """`train` in a thread, for nodes can only be added from the main one."""

    def __init__(self, folder, kind):
        self.kind, self.folder = KINDS[kind], folder
        self.shown, self.lines, self.error = [], [], None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        stage = PretrainStage.model_validate(
            {
                "model": {"backbone": "test_resnet"},
                "method": {"hidden_dim": 32, "projection_dim": 16},
                "optim": {"epochs": self.kind["epochs"], "batch_size": 16},
            }
        )
        assignment = Assignment(
            preprocess=Preprocess(side_px=SIDE_PX),
            model_folder=None,
            seed=0,
            settings_digest="d",
            save_every_steps=self.kind["every"],
        )
        count = self.kind["images"]
        work = Work("pretrain", stage.model_dump(mode="json"), assignment, num_streamed=count, threads=1)
        settings = ClusterSettings(**self.kind["workers"], cpus_per_worker=2.0, decode_cpus=1.0)
        try:
            trainer.train(
                work,
                {STREAM: images(count)},
                settings,
                folder=self.folder,
                name="training",
                on_epoch=lambda _: None,
                on_figures=lambda figures: self.shown.append(dict(figures)),
                on_line=self.lines.append,
            )
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.error = repr(error)

    def wait_for(self, is_there):
        """Until there is something, which is returned; for as long as the training lasts."""
        while self.thread.is_alive():
            if found := is_there():
                return found
            time.sleep(0.05)
        raise RuntimeError(f"the training ended before: {self.error} {self.lines}")

    def states(self):
        return SavedStates(*storage.locate(f"{self.folder}/training"))

    def steps_a_epoch(self):
        return [figures["steps_per_epoch"] for figures in self.shown]


def images(count):
    pixels = np.random.default_rng(0).integers(0, 255, (count, 3, SIDE_PX, SIDE_PX), dtype=np.uint8)

    def draw(batch):
        return {"image": pixels[batch["row"]], "row": batch["row"], "grade": np.full(len(batch["row"]), -1)}

    table = pa.table({"row": np.arange(count)})
    return ray.data.from_arrow(table).map_batches(draw, batch_format="numpy").materialize()


def drained(training, cluster, nodes):
    """A spot node is announced as lost, taken away and replaced."""
    training.wait_for(lambda: training.shown)
    gone = nodes[-1]
    reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    deadline = time.time() + 15
    accepted, why = GcsClient(address=cluster.address).drain_node(gone.node_id, reason, "spot", int(deadline * 1000))
    assert accepted, why
    name = training.wait_for(lambda: next((name for name in training.states().names() if "step_" in name), None))
    kept = training.states().describe(name)
    time.sleep(max(0.0, deadline + 0.5 - time.time()))  # a node that goes before its time counts as a failure in Ray
    cluster.remove_node(gone, allow_graceful=False)
    count = len(training.shown)
    add_node(cluster)
    training.wait_for(lambda: len(training.shown) > count + 3)
    return {"kept": kept["steps_done"], "epochs_done": kept["epochs_done"], "shown_before": count}


def elastic(training, cluster, nodes):
    """A node is lost without a word; much later another one comes."""
    training.wait_for(lambda: training.shown and training.shown[-1]["step"] > 10)
    kept = training.states().describe_newest()
    count = len(training.shown)
    cluster.remove_node(nodes[-1], allow_graceful=False)
    training.wait_for(lambda: len(set(training.steps_a_epoch())) == 2)
    add_node(cluster)
    training.wait_for(lambda: training.steps_a_epoch()[-1] == training.steps_a_epoch()[0])
    return {"kept": kept["steps_done"], "epochs_done": kept["epochs_done"], "shown_before": count}


def add_node(cluster):
    return cluster.add_node(num_cpus=2, object_store_memory=STORE)


def main(kind):
    """Print what came of it."""
    trainer._RESIZE_EVERY_S, trainer._START_SHRUNK_S = 4.0, 10.0
    with tempfile.TemporaryDirectory(prefix="raydr-") as folder:
        head = {"num_cpus": 1, "object_store_memory": STORE, "temp_dir": folder, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            nodes = [add_node(cluster) for _ in range(KINDS[kind]["nodes"])]
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            data = ray.data.DataContext.get_current()
            data.enable_progress_bars, data.print_on_execution_start = False, False
            training = Training(f"{folder}/run", kind)
            found = {"drained": drained, "elastic": elastic}[kind](training, cluster, nodes)
            # It would go on for long: enough has been seen, and what is left of it is ended with the cluster.
            found |= {"shown": list(training.shown), "lines": list(training.lines), "error": training.error}
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()
        finally:
            ray.shutdown()
            cluster.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
