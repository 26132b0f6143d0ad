"""A search beside what one would otherwise do: the same students, the same patients, in the same rounds.

  raydr           `raydr search`: the teacher asked once, its images prepared once, weak students stopped early (ASHA)
  separate        the same students as `raydr distill` runs, one after another, each asking the teacher again
  tune_uncached   Ray Tune with ASHA alone: every trial decodes the images and asks the teacher for itself

Seconds are those from a running cluster to the end of all trials. That counts as the same search only where the best
validation AUC is within one standard error of the best contender's; a line says so where it is not. `first` is when a
contender first had such an AUC, though it does not know it then.

The teacher is three ResNet-34 whose mean over 8 views is asked, the student a ResNet-10. How many epochs of a student
the asking takes is `raydr teacher as epochs`: the more they are, the more there is to gain.

Also: epochs trained as a share of the full grid, seconds of a trial beyond its training, raydr's teacher and its refit,
which gives the model that the other two have already (separate) or have not (tune_uncached); it is in no ratio.

  python jobs/bench_search.py --json bench_search.json
  ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml -- python jobs/bench_search.py
"""

# Processes that are spawned read this file again: what is heavy is imported where it is used.
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import Figure, arguments, interleaved, publish

if TYPE_CHECKING:
    from search_contenders import Course

NUM_TEACHERS = 3
NAMES = ("raydr", "separate", "tune_uncached")
RATIOS = [(f"{other}{part}", f"raydr{part}") for part in ("", " first") for other in NAMES[1:]]
SPACE = {
    "distillation.temperature": {"kind": "loguniform", "low": 1.0, "high": 8.0},
    "distillation.label_weight": {"kind": "uniform", "low": 0.0, "high": 1.5},
    "optim.learning_rate": {"kind": "loguniform", "low": 1e-4, "high": 3e-3},
}


def make_teacher(scratch: Path, *, patients: int, side_px: int, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Phantoms through index, prepare and finetune; what a search reads of them."""
    from raydr.config.jobs import FinetuneSettings, IndexSettings, PrepareSettings
    from raydr.images.phantom import write_phantoms
    from raydr.workflows.finetune import finetune
    from raydr.workflows.index import index
    from raydr.workflows.prepare import prepare

    write_phantoms(str(scratch / "phantoms"), num_patients=patients, seed=0, side_px=2 * side_px)
    common = {"cluster": dict(cluster), "tracking": {"enabled": False}}
    source = {
        "layout": "eyepacs",
        "allow_partial": True,
        "images": str(scratch / "phantoms" / "images"),
        "labels": str(scratch / "phantoms" / "trainLabels.csv"),
    }
    indexed = index(
        IndexSettings.model_validate(
            {
                **common,
                "job": "index",
                "out": str(scratch / "index"),
                "sources": {"phantoms": source},
                "splits": {"val_fraction": 0.3, "test_fraction": 0.1},
                "budget": {"fraction": 0.3},
                "near_identical": False,
            }
        )
    ).artifacts
    manifest = indexed["manifest"]
    prepared = prepare(
        PrepareSettings.model_validate(
            {
                **common,
                "job": "prepare",
                "out": str(scratch / "prepare"),
                "manifest": manifest,
                "side_px": side_px,
                "montage": False,
            }
        )
    ).artifacts
    data = {"manifest": manifest, "budget": indexed["budget"], "shards": prepared["shards"]}
    taught = finetune(
        FinetuneSettings.model_validate(
            {
                **common,
                "job": "finetune",
                "out": str(scratch / "finetune"),
                "data": data,
                "preprocess": {"side_px": side_px},
                "ensemble": NUM_TEACHERS,
                "model": {"backbone": "resnet34", "weights": "none"},
                "optim": {"epochs": 30, "batch_size": 16, "learning_rate": 1e-3},
            }
        )
    ).artifacts
    return {"data": data, "teacher": [uri for name, uri in sorted(taught.items()) if name.startswith("model")]}


class Bench:
    """The contenders' courses, a list of rounds each."""

    def __init__(self, scratch: Path, search: Mapping[str, Any], slots: int) -> None:
        self._scratch, self._search, self._slots = scratch, search, slots
        self._samples: Sequence[Mapping[str, Any]] = ()
        self.courses: dict[str, list[Course]] = {name: [] for name in NAMES}

    def run(self, name: str) -> dict[str, float]:
        """One contender once; raydr comes first in the first round and says what all try."""
        import search_contenders as contenders

        from raydr.config.jobs import SearchSettings

        out = str(self._scratch / f"{name}-{len(self.courses[name])}")
        tracking = {"uri": f"sqlite:///{out}.db", "registered_model": None}
        settings = SearchSettings.model_validate({**self._search, "out": out, "tracking": tracking})
        match name:
            case "raydr":
                course = contenders.raydr_search(settings, self._slots)
                self._samples = course.samples
            case "separate":
                course = contenders.separate_runs(settings, self._samples, self._slots)
            case _:
                course = contenders.plain_tune(settings, self._samples, self._search["teacher"])
        self.courses[name].append(course)
        return {"seconds": course.seconds, "best_auc": course.best, "epochs": course.epochs}

    def figures(self) -> dict[str, Figure]:
        """Seconds, seconds to the first such AUC, AUC and epochs of each; what else is known of raydr."""
        firsts: dict[str, list[float]] = {name: [] for name in NAMES}
        for number, courses in enumerate(zip(*self.courses.values(), strict=True)):
            best, error = max(course.best for course in courses), courses[0].figures["standard_error"]
            for name, course in zip(NAMES, courses, strict=True):
                firsts[name].append(course.first_at(best - error))
                if course.best < best - error:
                    sys.stderr.write(
                        f"round {number + 1}: {name} reached {course.best:.4f}, which is not within one standard error "
                        f"({error:.4f}) of the best, {best:.4f}: its seconds are no measure of the same search\n"
                    )
        found = {name: Figure("s", [course.seconds for course in self.courses[name]]) for name in NAMES}
        found |= {f"{name} first": Figure("s", firsts[name]) for name in NAMES}
        found |= {f"{name} AUC": Figure("%", [100 * course.best for course in self.courses[name]]) for name in NAMES}
        found |= {f"{name} epochs": Figure("epochs", [float(c.epochs) for c in self.courses[name]]) for name in NAMES}
        units = {
            "teacher": "s",
            "teacher_as_epochs": "epochs",
            "refit": "s",
            "trial_overhead": "s",
            "epochs_share": "%",
        }
        for key, unit in units.items():
            values = [course.figures[key] for course in self.courses["raydr"]]
            found[f"raydr {key.replace('_', ' ')}"] = Figure(unit, values)
        found["standard error"] = Figure("%", [100 * one.figures["standard_error"] for one in self.courses["raydr"]])
        return found


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--trials", type=int, help="students (16, with --quick 4)")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1, help="trials at once, a CPU each")
    parser.add_argument("--side-px", type=int, default=64)
    options = parser.parse_args()
    from raydr.workflows.environment import set_environment

    set_environment(None)
    from raydr.config.site import ClusterSettings
    from raydr.workflows.cluster import connected

    cluster = {
        "local_cpus": options.slots,
        "cpus_per_worker": 0.5,
        "decode_cpus": 0.5,
        "object_store_mib": 800,
    }
    epochs = 4 if options.quick else 9
    scratch = Path(tempfile.mkdtemp(prefix="raydr-bench-"))
    try:
        with connected(ClusterSettings.model_validate(cluster)):
            base = make_teacher(
                scratch, patients=80 if options.quick else 200, side_px=options.side_px, cluster=cluster
            )
            search = {
                **base,
                "job": "search",
                "cluster": cluster,
                "trials": options.trials or (4 if options.quick else 16),
                "epochs": epochs,
                "grace_epochs": 1,
                "reduction_factor": 3,
                "space": SPACE,
                "distill": {
                    "model": {"backbone": "resnet10t", "weights": "none"},
                    "optim": {"epochs": epochs, "batch_size": 32},
                    "distillation": {"teacher_views": 8},
                },
            }
            bench = Bench(scratch, search, options.slots)
            interleaved({name: functools.partial(bench.run, name) for name in NAMES}, rounds=options.rounds or 1)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    publish(bench.figures(), RATIOS, file=options.json)


if __name__ == "__main__":
    main()
