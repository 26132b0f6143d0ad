"""Which photographs have yet to be prepared, and the part that each goes into."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from raydr.data.parts import newest_rows


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """A part to be made."""

    number: int
    image_ids: list[str]
    uris: list[str]
    known: list[str | None] | None = None
    """Where the photographs stand in parts already: why each failed there, None for one whose file is another now."""


def plan_parts(
    rows: pa.Table, stored: pa.Table | None, *, numbers: Collection[int], images_per_shard: int
) -> list[PlannedPart]:
    """The parts that are missing for ``rows``.

    Photographs that no part holds come first, in the order of ``rows``, in the lowest free numbers: the parts that a
    run did not come to are made as it would have made them. Those that failed before, or whose file is another now, are
    tried again in parts with numbers above all others, so that a photograph's newest row has the highest number.

    Args:
        rows: ``image_id`` (unique) and ``uri``.
        stored: ``image_id``, ``uri`` and ``reason`` of the parts' rows, by number; None where there is no part.
        numbers: The parts' numbers.
        images_per_shard: Rows a part.
    """
    image_ids, uris = rows["image_id"].to_pylist(), rows["uri"].to_pylist()
    fresh, again, known = list(range(rows.num_rows)), list[int](), list[str | None]()
    if stored is not None:
        newest = newest_rows(stored["image_id"], rows["image_id"]).tolist()
        stored_uris, reasons = stored["uri"].to_pylist(), stored["reason"].to_pylist()
        fresh = [row for row in fresh if newest[row] < 0]
        for row, place in enumerate(newest):
            is_other = place >= 0 and stored_uris[place] != uris[row]
            if is_other or (place >= 0 and reasons[place] is not None):
                again.append(row)
                known.append(None if is_other else reasons[place])
    planned = []
    free = (number for number in count() if number not in numbers)
    for start in range(0, len(fresh), images_per_shard):
        chosen = fresh[start : start + images_per_shard]
        planned.append(PlannedPart(next(free), [image_ids[row] for row in chosen], [uris[row] for row in chosen]))
    above = count(max([-1, *numbers, *(part.number for part in planned)]) + 1)
    for start in range(0, len(again), images_per_shard):
        piece = slice(start, start + images_per_shard)
        chosen = again[piece]
        names, files = [image_ids[row] for row in chosen], [uris[row] for row in chosen]
        planned.append(PlannedPart(next(above), names, files, known[piece]))
    return planned
