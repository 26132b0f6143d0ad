"""Run by test_autoscaling as a program of its own: four trials of a search, each of which takes a GPU."""

import json
import sys

import numpy as np

from raydr.config.site import ClusterSettings
from raydr.config.stages import DistillStage, SearchStage
from raydr.engine.batch import Pool
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.distil import Teaching
from raydr.search.trial import TrialImages
from raydr.search.tuner import SearchFolders, Shared, search
from raydr.workflows.cluster import connected

SIDE_PX, NUM_IMAGES = 32, 48
CLUSTER = ClusterSettings(autoscaling=True)
STAGE = SearchStage.model_validate(
    {
        "trials": 4,
        "cpus_per_trial": 1.0,
        "gpus_per_trial": 1.0,
        "epochs": 2,
        "scheduler": "none",
        "space": {"distillation.temperature": {"kind": "uniform", "low": 1.0, "high": 5.0}},
    }
)
DISTILL = DistillStage.model_validate(
    {
        "model": {"backbone": "test_resnet", "weights": "none"},
        "optim": {"batch_size": 16},
        "class_balance": False,
        "augment": "none",
    }
)


class Nobody:
    """An audience that does not listen."""

    def begin(self, records):
        pass

    def epoch(self, number, sample, metrics):
        pass

    def ended(self, record):
        pass


def pool(count, *, graded):
    images = np.random.default_rng(count).integers(0, 250, (count, 3, SIDE_PX, SIDE_PX), dtype=np.uint8)
    grades = np.resize([0, 3], count) if graded else np.full(count, -1)
    return Pool(images, np.arange(count), grades)


def main(folder):
    """Print the epochs of each trial."""
    logits = np.random.default_rng(0).normal(size=(NUM_IMAGES, 1)).astype(np.float32)
    images = TrialImages(pool(NUM_IMAGES, graded=False), pool(0, graded=True), pool(16, graded=True))
    with connected(CLUSTER):
        results = search(
            STAGE,
            DISTILL,
            Shared(images, Teaching(logits, "binary")),
            Assignment(preprocess=Preprocess(side_px=SIDE_PX), model_folder=None, seed=0, settings_digest="d"),
            folders=SearchFolders(f"{folder}/records", f"{folder}/ray", "search"),
            max_failures=0,
            audience=Nobody(),
        )
    sys.stdout.write(json.dumps({result.number: [result.epochs, result.error] for result in results}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
