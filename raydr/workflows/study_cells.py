"""The cells of a study as they go: those that stand, those that are trained, an MLflow run and a line for each."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raydr.config.images import DataSettings
from raydr.config.jobs import StudySettings
from raydr.data.manifest import fellows_of
from raydr.errors import RunError
from raydr.study.cell import CellOrders, StudyImages
from raydr.study.records import CellRecord, clear_cell, read_record
from raydr.study.tasks import Share, run_cells, shared
from raydr.workflows.console import duration, say
from raydr.workflows.images import small_pool, validation_patients
from raydr.workflows.job import Stage
from raydr.workflows.study_ground import Ground
from raydr.workflows.study_plan import Cell, orders_of
from raydr.workflows.study_runs import CellRuns
from raydr.workflows.trials import check_images_fit

_MOST_NAMED = 5
_LEAST_SHARE = 0.01  # of the work done before its pace tells when the rest will be


def share_of(settings: StudySettings) -> Share:
    """What a cell takes of the cluster."""
    return Share(
        cpus=settings.cpus_per_cell,
        gpus=settings.gpus_per_cell,
        max_parallel=settings.max_parallel,
        grows=settings.cluster.autoscaling,
        max_failures=settings.cluster.max_failures,
    )


@dataclass(frozen=True, slots=True)
class Trained:
    """The cells of a study and what became of them."""

    cells: Sequence[Cell]
    """Those that are wanted, and of the others those that stand."""
    wanted: Sequence[Cell]
    records: Mapping[str, CellRecord]
    """Of those that are trained, by name."""
    failures: Mapping[str, str]
    """Why the others are not."""

    def check(self) -> None:
        """Raise RunError where cells failed."""
        if not self.failures:
            return
        named = "; ".join(f"{name}: {why}" for name, why in list(self.failures.items())[:_MOST_NAMED])
        more = f"; and {len(self.failures) - _MOST_NAMED} more" if len(self.failures) > _MOST_NAMED else ""
        raise RunError(
            f"study: {len(self.failures)} of {len(self.wanted)} cells failed, and no test image was scored; the others "
            f"stand and will not be trained again: {named}{more}"
        )


def train_cells(stage: Stage, settings: StudySettings, ground: Ground, cells: Sequence[Cell]) -> Trained:
    """Train every wanted cell that does not stand."""
    names = set(settings.cells)
    found = {str(cell.name): read_record(cell.folder, cell.identity) for cell in cells}
    records = {name: record for name, record in found.items() if record is not None}
    wanted = [cell for cell in cells if cell.name in names]
    known = [cell for cell in cells if cell.name in names or str(cell.name) in records]
    left = [cell for cell in wanted if str(cell.name) not in records]
    runs = CellRuns(stage)
    for cell in wanted:
        if (record := records.get(str(cell.name))) is not None:
            runs.take_over(cell, record)
    if len(left) < len(wanted):
        say(f"  {len(wanted) - len(left)} of {len(wanted)} cells stand and are not trained again")
    if not left:
        return Trained(known, wanted, records, {})
    watch = _Watch(settings, ground, wanted, runs, records)
    teachers = {str(cell.name): str(cell.teacher.name) for cell in left if cell.teacher is not None}
    work = chain_views(left, num_train=len(ground.rows.train))
    order = sorted(work, key=lambda name: -work[name])
    try:
        images = shared(_images(settings, ground))
        failures = run_cells(order, teachers, images, share=share_of(settings), audience=watch)
    except BaseException:
        runs.abandon()
        raise
    return Trained(known, wanted, records, failures)


def chain_views(cells: Sequence[Cell], *, num_train: int) -> dict[str, int]:
    """The views that each cell and all that wait for it look at: the most work is begun first, the rest fills gaps.

    Args:
        cells: Each after its teacher.
        num_train: Training images.
    """
    found = {str(cell.name): cell.num_views(num_train=num_train) for cell in cells}
    for cell in reversed(cells):
        if cell.teacher is not None and str(cell.teacher.name) in found:
            found[str(cell.teacher.name)] += found[str(cell.name)]
    return found


def _images(settings: StudySettings, ground: Ground) -> StudyImages:
    """What cells learn from, decoded once; no test image is among them."""
    rows, data = ground.rows, DataSettings(manifest=ground.learning)
    check_images_fit(
        "study: training and validation",
        settings.cluster,
        num_images=len(rows.train) + len(rows.validation),
        side_px=settings.preprocess.side_px,
        cpus=settings.cpus_per_cell,
        gpus=settings.gpus_per_cell,
    )
    clock = time.perf_counter()
    pool, validation = (
        small_pool(data, rows.manifest, chosen, preprocess=ground.preprocess, cluster=settings.cluster, graded=graded)
        for chosen, graded in ((rows.train, False), (rows.validation, True))
    )
    lost = len(rows.train) + len(rows.validation) - len(pool) - len(validation)
    unread = f", {lost} cannot be read and are left out" if lost else ""
    say(
        f"  {len(pool)} training and {len(validation)} validation images decoded in "
        f"{duration(time.perf_counter() - clock)}{unread}"
    )
    return StudyImages(pool, validation, validation_patients(rows), fellows_of(rows.manifest))


class _Watch:
    """Follows the cells: their runs, and a line for each that ends.

    Args:
        settings: The study's.
        ground: Likewise.
        cells: Those that are wanted.
        runs: In MLflow.
        records: Of the cells that stand; those that are trained are put in.
    """

    def __init__(
        self,
        settings: StudySettings,
        ground: Ground,
        cells: Sequence[Cell],
        runs: CellRuns,
        records: dict[str, CellRecord],
    ) -> None:
        self._settings, self._ground, self._runs, self._records = settings, ground, runs, records
        self._cells = {str(cell.name): cell for cell in cells}
        num_train = len(ground.rows.train)
        self._views = {name: cell.num_views(num_train=num_train) for name, cell in self._cells.items()}
        self._left = {name for name in self._cells if name not in records}
        self._views_done = 0
        self._started = time.perf_counter()

    def begin(self, name: str) -> CellOrders:
        """What a cell is told; what it was before is deleted first: it must vouch for nothing new."""
        cell = self._cells[name]
        clear_cell(cell.folder)
        run_id = self._runs.begin(cell)
        threads = share_of(self._settings).num_threads
        return orders_of(cell, self._settings, self._ground, num_threads=threads, run_id=run_id)

    def done(self, name: str, record: CellRecord) -> None:
        """Say how a cell went."""
        self._records[name] = record
        self._runs.end(self._cells[name], record)
        self._count(name)
        figures = record.validation
        error = f" ± {figures.standard_error:.4f}" if math.isfinite(figures.standard_error) else ""
        say(
            f"  {self._place()}  {name}  validation AUC {figures.auc:.4f}{error}  {duration(record.seconds)}"
            f"{self._time_left()}",
            cell=name,
            val_auc=figures.auc,
            val_auc_se=figures.standard_error,
            num_labels=record.num_labels,
            seconds=record.seconds,
            cells_done=len(self._cells) - len(self._left),
            cells=len(self._cells),
        )

    def failed(self, name: str, why: str) -> None:
        """Say why a cell failed."""
        self._runs.fail(name)
        self._count(name)
        say(f"  {self._place()}  {name}  failed: {why}", cell=name, failed=why)

    def _count(self, name: str) -> None:
        self._left.discard(name)
        self._views_done += self._views[name]

    def _place(self) -> str:
        width = len(str(len(self._cells)))
        return f"{len(self._cells) - len(self._left):{width}} of {len(self._cells)}"

    def _time_left(self) -> str:
        views_left = sum(self._views[name] for name in self._left)
        if not views_left or self._views_done < _LEAST_SHARE * views_left:
            return ""
        seconds = (time.perf_counter() - self._started) * views_left / self._views_done
        return f"  about {duration(seconds)} left"
