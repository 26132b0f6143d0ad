"""Whether a new student becomes the champion: a paired comparison on validation patients, with a stated margin."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.config.jobs import RunSettings
from raydr.data.manifest import grades_of, read_manifest, rows_where
from raydr.data.shards import check_shards
from raydr.engine.package import load_model
from raydr.errors import InputError, RunError
from raydr.images.preprocess import Preprocess
from raydr.inference.scoring import score_images
from raydr.metrics.comparison import AucDifference
from raydr.tracking.registry import CHALLENGER, CHAMPION, fetch_version, set_alias, tag_version, version_of
from raydr.tracking.runs import Tracking
from raydr.workflows.cluster import connected
from raydr.workflows.console import say
from raydr.workflows.models import copied
from raydr.workflows.pairing import pair_scores
from raydr.workflows.placement import placement_of

_SAME = 1e-6  # of a probability: rounding, in batches of other sizes
_LEVEL = 0.95  # two-sided: the chance that a model worse by the margin passes is at most 2.5 %


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of a candidate, and why."""

    is_champion: bool
    reason: str
    compared_with: str | None = None
    """The champion's version, None where there was none."""
    difference: AucDifference | None = None
    """The candidate's validation AUC less the champion's, None where they could not be compared."""

    def figures(self) -> dict[str, Any]:
        """As result.json has them."""
        return {
            "reason": self.reason,
            "compared_with": self.compared_with,
            "difference": None if self.difference is None else asdict(self.difference),
        }

    def tags(self) -> dict[str, str]:
        """Of the candidate's version."""
        tags = {"raydr.promotion": self.reason}
        if self.compared_with is not None:
            tags["raydr.compared_with"] = self.compared_with
        if self.difference is not None:
            tags["raydr.auc_difference"] = str(self.difference)
        return tags


def promote(
    tracker: Tracking,
    name: str,
    version: str,
    *,
    margin: float,
    validation: pa.Table,
    score: Callable[[str], pa.Table],
) -> Promotion:
    """Make a version the challenger, and the champion too where it is not worse than that by more than a margin.

    Non-inferiority: the lower bound of the 95 % interval of the candidate's AUC less the champion's, both on the same
    validation patients, must lie above ``-margin``. The first version has no one to be compared with and becomes
    champion; a champion that cannot be scored keeps its place. What was found is said, and tagged to the version.

    The candidate's epoch and settings were chosen on these patients, which flatters it; a champion that was trained
    on some of them, after another split, is flattered more.

    Args:
        tracker: The store.
        name: Of the registered model.
        version: The candidate.
        margin: At least 0; with 0 the candidate must be better.
        validation: The candidate's scores of the graded validation images, as `pair_scores` wants them.
        score: The same of the model in a folder, for the same images.
    """
    set_alias(tracker, name, CHALLENGER, version)
    champion = version_of(tracker, name, CHAMPION)
    while True:
        if champion is None:
            found = Promotion(is_champion=True, reason="there was no champion to be compared with")
        elif champion == version:
            found = Promotion(is_champion=True, reason="it is the champion already")
        else:
            found = _against(tracker, name, champion, margin=margin, validation=validation, score=score)
        before, champion = champion, version_of(tracker, name, CHAMPION)
        if champion == before:  # else another run has put its student there meanwhile
            break
    tag_version(tracker, name, version, found.tags())
    if found.is_champion:
        set_alias(tracker, name, CHAMPION, version)
    aliases = f"{CHALLENGER} and {CHAMPION}" if found.is_champion else f"{CHALLENGER} only"
    say(f"run: {name} version {version} is the student, {aliases}: {found.reason}")
    return found


def _against(
    tracker: Tracking,
    name: str,
    champion: str,
    *,
    margin: float,
    validation: pa.Table,
    score: Callable[[str], pa.Table],
) -> Promotion:
    who = f"the champion, version {champion},"
    try:
        if not validation.num_rows:
            raise InputError("the student's evaluation holds no scores of validation images")
        theirs = score(fetch_version(tracker, name, champion))
        pairing = pair_scores(validation, theirs, names=("the student", "the champion"))
    except (InputError, RunError) as error:
        return Promotion(is_champion=False, reason=f"{who} cannot be compared: {error}", compared_with=champion)
    difference = pairing.scores.difference(level=_LEVEL)
    is_alike = np.allclose(pairing.scores.first, pairing.scores.second, rtol=0, atol=_SAME)
    if margin and is_alike and difference.value == 0:  # NaN where one class alone is there
        reason = f"it judges the validation images as {who} does"  # on few patients no interval would say so
        return Promotion(is_champion=True, reason=reason, compared_with=champion, difference=difference)
    is_champion = difference.low > -margin  # not so where the bound is not a number
    words = f"validation AUC less that of {who} {difference} on {difference.num_patients} patients"
    bound = f"its lower bound is {'above' if is_champion else 'not above'} -{margin:g}"
    return Promotion(is_champion, f"{words}; {bound}", compared_with=champion, difference=difference)


def score_champion(settings: RunSettings, folder: str, *, manifest: str, shards: str | None, out: str) -> pa.Table:
    """Scores of the model in ``folder`` for the graded validation images, seen as its own preprocessing says.

    The shards serve it where they were made for such a preprocessing, else the photographs are decoded anew.

    Raises:
        InputError: The folder holds no classifier that can be read.
    """
    table = read_manifest(manifest)
    rows = rows_where(table, split="val")
    chosen = table.take(rows[grades_of(table)[rows] >= 0])
    copy = storage.join(out, "champion-compared")  # every node can reach it, as it may not reach a fetched one
    with copied(folder, copy):
        preprocess = load_model(copy).preprocess  # here: an actor would tell less of a torn one
        with connected(settings.cluster):
            return score_images(
                chosen.select(["image_id", "uri"]),
                copy,
                shards=_fitting(shards, preprocess),
                batch_size=settings.evaluate.batch_size,
                placement=placement_of(settings.cluster),
            )


def validation_scores(scores: str) -> pa.Table:
    """The rows of the validation patients in the `scores.parquet` of an evaluation."""
    table = storage.read_table(scores)
    return table.filter(pc.equal(table["split"], "val"))


def _fitting(shards: str | None, preprocess: Preprocess) -> str | None:
    """The shards, None where a model of that preprocessing cannot use them."""
    if shards is None:
        return None
    try:
        check_shards(shards, preprocess)
    except InputError:
        return None
    return shards
