"""Anybody's scores from files, as `evaluate` takes them."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from raydr.data.manifest import summary
from raydr.data.score_files import read_score_files
from raydr.errors import InputError
from raydr.reporting.wording import counted
from raydr.workflows.scored import GRADES, Scored, described

_MOST_NAMED: Final = 5


def scores_of_files(scores: str, labels: str, datasets: tuple[str, ...] | None) -> Scored:
    """The scored images of two files, training images left out.

    Args:
        scores: URI, as `read_score_files` wants it.
        labels: Likewise.
        datasets: The test sets by name; None takes all.

    Raises:
        InputError: As `read_score_files`; no image to test; a data set that is not there.
    """
    files = read_score_files(scores, labels)
    images = files.table
    split = pc.fill_null(images["split"], "test")
    is_test = pc.invert(pc.is_in(split, value_set=pa.array(["train", "val"])))
    names = pc.unique(images["dataset"].filter(is_test)).to_pylist()
    if not names:
        raise InputError(f"{labels}: split: every image is in the train or the val split; none is left to test")
    for name in datasets or ():
        if name not in names:
            raise InputError(
                f"{labels}: datasets: {name!r} is no data set with a test image; allowed: {', '.join(names)}"
            )
    if datasets is not None:
        is_test = pc.and_(is_test, pc.is_in(images["dataset"], value_set=pa.array(datasets)))
    kept = images.filter(pc.or_(is_test, pc.equal(split, "val")))
    probabilities = [name for name in ("probability", *GRADES) if name in kept.column_names]
    table = described(kept.select(["image_id", *probabilities]), kept, quality=kept["quality"], camera=kept["camera"])
    num_train = pc.sum(pc.equal(split, "train")).as_py()
    counts = [
        (files.num_unlabelled, "score", "without a label: left out"),
        (files.num_unscored, "label", "without a score"),
        (num_train, "image", "of the train split: left out"),
    ]
    notes = [f"{counted(number, thing)} {what}." for number, thing, what in counts if number]
    notes += _shared_patients(kept)
    return Scored(
        table, data=summary(images.set_column(images.column_names.index("split"), "split", split)), notes=notes
    )


def _shared_patients(images: pa.Table) -> list[str]:
    """Which patients thresholds are chosen on who are tested too, in a sentence; nothing where there are none."""
    is_chosen_on = pc.fill_null(pc.equal(images["split"], "val"), False)  # noqa: FBT003  # pyarrow's own
    there, tested = (
        set(images["patient_id"].filter(rows).drop_null().to_pylist())
        for rows in (is_chosen_on, pc.invert(is_chosen_on))
    )
    if not (both := sorted(there & tested)):
        return []
    named = ", ".join(both[:_MOST_NAMED]) + (", …" if len(both) > _MOST_NAMED else "")
    return [
        f"{counted(len(both), 'patient')} of the val split {'is' if len(both) == 1 else 'are'} tested too ({named}): "
        "what was chosen on them flatters the figures."
    ]
