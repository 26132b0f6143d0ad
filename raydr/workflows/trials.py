"""The trials of a search: their images, the room for them, a record of each, an MLflow run for each."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

import ray

from raydr import storage
from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.config.site import ClusterSettings
from raydr.config.stages import SearchStage
from raydr.data.nodes import alive_nodes
from raydr.engine.batch import Pool
from raydr.engine.package import ModelDescription
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.learning.assignment import Assignment
from raydr.learning.validation import VALIDATION_AUC
from raydr.search.nested import SharedImages
from raydr.search.ranking import not_told_apart
from raydr.search.records import TrialRecord
from raydr.search.trial import TrialImages
from raydr.search.tuner import SearchFolders, Shared, TrialResult
from raydr.search.tuner import search as search_space
from raydr.training.teacher import Teacher
from raydr.training.worker import LABELLED, STREAM, VALIDATION
from raydr.workflows.cluster import address_of
from raydr.workflows.digests import digest_of_tree
from raydr.workflows.images import Rows, dataset, small_pool, validation_patients
from raydr.workflows.job import RAY_FOLDER, Stage, identity_of
from raydr.workflows.learn import model_input
from raydr.workflows.sections import section
from raydr.workflows.trial_table import TrialTable

_NO_PART_OF_A_TRIAL = {
    "out",
    "cluster",
    "tracking",
    "trials",
    "max_parallel",
    "cpus_per_trial",
    "gpus_per_trial",
    "refit_seeds",
}

_TPE_AT_ONCE: Final = 10
"""Trials on a cluster that grows: as many as Optuna's TPE draws at random anyway before it proposes any."""


def search_identity(stage: Stage, settings: SearchSettings) -> str:
    """Digest of all that shapes a trial; how many there are does not, so a search can be added to."""
    tree = settings.model_dump(mode="json", exclude=_NO_PART_OF_A_TRIAL)
    del tree["distill"]["optim"]["epochs"], tree["distill"]["rounds"]  # the refit's
    return identity_of(digest_of_tree(tree), stage.inputs)


def run_trials(
    stage: Stage, settings: SearchSettings, *, rows: Rows, teacher: ModelDescription, taught: Teacher
) -> list[TrialResult]:
    """All trials of the search, best first; those of earlier attempts at the same search are not run again."""
    several = settings.workers_per_trial > 1
    prepare = _for_several_workers if several else _for_one_worker
    shared = prepare(settings, rows=rows, preprocess=teacher.preprocess, taught=taught)
    identity = search_identity(stage, settings)
    name = f"search-{identity[:12]}"
    folders = SearchFolders(records=stage.path(f"trials-{identity[:12]}"), ray=stage.path(RAY_FOLDER), name=name)
    distill = settings.distill
    if (weights := model_input(distill.model.weights)) is not None:
        distill = with_overrides(distill, {"model.weights": storage.absolute(weights)})
    table = TrialTable(settings.trials, epochs=settings.epochs)
    runs = _TrialRuns(stage, stage.path(f"{name}-runs.json"), table)
    try:
        trials = search_space(
            section(SearchStage, settings).model_copy(update={"max_parallel": _max_parallel(settings)}),
            distill,
            shared,
            Assignment(
                preprocess=teacher.preprocess,
                model_folder=None,
                seed=settings.seed,
                settings_digest=identity,
                patients=validation_patients(rows),
            ),
            folders=folders,
            max_failures=settings.cluster.max_failures,
            audience=runs,
        )
    except BaseException:
        runs.abandon()
        raise
    finally:
        table.close()
    runs.mark(not_told_apart(trials))
    return trials


def _for_one_worker(settings: SearchSettings, *, rows: Rows, preprocess: Preprocess, taught: Teacher) -> Shared:
    def pool(chosen: Any, *, graded: bool) -> Pool:
        return small_pool(
            settings.data, rows.manifest, chosen, preprocess=preprocess, cluster=settings.cluster, graded=graded
        )

    images = TrialImages(
        pool=pool(rows.train, graded=False),
        labelled=pool(rows.labelled, graded=True),
        validation=pool(rows.validation, graded=True),
    )
    return Shared(images, taught.teaching(with_fellows=True))  # a trial may want them, whatever the first one says


def _for_several_workers(
    settings: SearchSettings, *, rows: Rows, preprocess: Preprocess, taught: Teacher
) -> SharedImages:
    held = {
        name: dataset(
            settings.data, rows.manifest, chosen, preprocess=preprocess, cluster=settings.cluster, graded=name != STREAM
        ).materialize()
        for name, chosen in ((STREAM, rows.train), (LABELLED, rows.labelled), (VALIDATION, rows.validation))
        if len(chosen)
    }
    workers = settings.workers_per_trial
    share = {
        "num_workers": workers,
        "max_workers": None,
        "cpus_per_worker": settings.cpus_per_trial / workers,
        "gpus_per_worker": settings.gpus_per_trial / workers,
        "decode_cpus": 0.0,  # its images are decoded
        "max_failures": 0,  # Tune tries again
    }
    cluster = settings.cluster.model_copy(update=share)
    return SharedImages(held, held[STREAM].count(), taught, cluster)


def _max_parallel(settings: SearchSettings) -> int | None:
    """How many trials may be under way; None: Tune sees for itself, but not what workers of their own take.

    Of an algorithm that learns, Tune would let one trial wait at a time, and a cluster grow by one node after another.
    """
    if settings.max_parallel is not None:
        return settings.max_parallel
    if settings.cluster.autoscaling and settings.algorithm == "tpe":
        return min(settings.trials, _TPE_AT_ONCE)
    if settings.workers_per_trial == 1:
        return None
    if settings.cluster.autoscaling:
        return settings.trials
    have = ray.cluster_resources()  # type: ignore[no-untyped-call]
    needs = ((settings.cpus_per_trial, "CPU"), (settings.gpus_per_trial, "GPU"))
    return max(1, min(int(have.get(kind, 0.0) / need) for need, kind in needs if need))


def check_images_fit(
    images: str, cluster: ClusterSettings, *, num_images: int, side_px: int, cpus: float, gpus: float
) -> None:
    """Raise InputError where an object store in which trainings share decoded images cannot hold them.

    They are one object, which every node that a training runs on has whole: the smallest store of those that have room
    for one counts. Those of a cluster which grows on demand are not known.

    Args:
        images: The verb and which ones they are, as in "search: training".
        cluster: The site's.
        num_images: How many.
        side_px: Their side.
        cpus: That a training takes.
        gpus: Likewise.
    """
    if cluster.autoscaling:
        return
    stores = [node.store_bytes for node in alive_nodes() if node.cpus >= cpus and node.gpus >= gpus]
    need, have = num_images * 3 * side_px**2, min(stores, default=0.0)
    if need > 0.8 * have:
        remedy = "raise cluster.object_store_mib" if address_of(cluster) is None else "give it more"
        raise InputError(
            f"{images} images, {num_images} of {side_px} pixels, take {need / 2**30:.1f} GiB decoded, the smallest "
            f"object store of a node for them has {have / 2**30:.1f} GiB; {remedy} or lower preprocess.side_px"
        )


class _TrialRuns:
    """An MLflow run for each trial, below the search's own, and its line in the table."""

    def __init__(self, stage: Stage, uri: str, table: TrialTable) -> None:
        self._stage, self._uri, self._table = stage, uri, table
        self._before: dict[str, str] = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else {}
        self._open: dict[int, str] = {}

    def begin(self, records: Mapping[int, TrialRecord]) -> None:
        """Take over what earlier attempts have done: their runs are this search's now."""
        self._table.begin(records)
        for record in records.values():
            if record.status != "running":
                self._run_of(record.number, record.sample)
                self._end(record)

    def epoch(self, number: int, sample: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Record one epoch of one trial."""
        figures = {name: value for name, value in metrics.items() if name != "epoch"}
        self._stage.tracker.log_metrics(self._run_of(number, sample), figures, step=int(metrics["epoch"]))
        self._table.epoch(number, sample, metrics)

    def ended(self, record: TrialRecord) -> None:
        """Close a trial's run with its best figure."""
        self._run_of(record.number, record.sample)
        self._end(record)
        self._table.ended(record)

    def abandon(self) -> None:
        """Close the runs of a search that was cut off."""
        for run_id in self._open.values():
            self._stage.tracker.end_run(run_id, "KILLED")

    def mark(self, close: Collection[int]) -> None:
        """Tag every trial's run with whether it is told apart from the best one."""
        for number, run_id in self._before.items():
            self._stage.tracker.set_tags(run_id, {"raydr.not_told_apart": str(int(number) in close).lower()})

    def _run_of(self, number: int, sample: Mapping[str, Any]) -> str:
        if number not in self._open:
            self._open[number] = self._stage.tracker.start_run(
                f"trial {number + 1}",
                parent_id=self._stage.run_id,
                continue_id=self._before.get(str(number)) or None,
                params=sample,
            )
            self._before[str(number)] = self._open[number]
            storage.write_bytes(self._uri, json.dumps(self._before).encode())
        return self._open[number]

    def _end(self, record: TrialRecord) -> None:
        run_id = self._open.pop(record.number)
        # Some epochs may have been recorded just before a driver was killed.
        self._stage.tracker.log_epochs(run_id, record.history, known_by=VALIDATION_AUC)
        self._stage.tracker.log_metrics(
            run_id, {"best_val_auc": record.best_auc, "best_val_auc_se": record.standard_error}
        )
        # A scheduler may have changed the settings that the run's parameters say it began with.
        self._stage.tracker.set_tags(run_id, {"raydr.best_settings": json.dumps(record.sample)})
        self._stage.tracker.end_run(run_id, "FAILED" if record.status == "failed" else "FINISHED")
