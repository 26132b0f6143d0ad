"""A scoring on disk, part by part, so that one that was cut off goes on: beside the result until that is whole."""

import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.data.photographs import PASSING_REASONS
from raydr.inference.scoring import ScoredRows, score_table

VERSION: Final = "version"
"""Column that tells a photograph from its older self: `raydr.inference.score_parts.versions`."""
_NUM_READERS: Final = 8  # files read at once: an object store answers each in tens of milliseconds


def versions(uris: list[str]) -> pa.Array:
    """What changes with a photograph: its size and time."""
    return pa.array([f"{size} {mtime_ns}" for size, mtime_ns in storage.file_versions(uris)], pa.string())


class ScoreParts:
    """The parts of one scoring: tables as of `score_table` with `version`, each whole in a file of its own.

    Args:
        folder: Where they lie.
        identity: What they were scored with, in any words; parts of another identity count for nothing.
    """

    def __init__(self, folder: str, identity: str) -> None:
        self.folder = folder
        self._digest = hashlib.sha256(identity.encode()).hexdigest()[:12]

    def missing(self, rows: pa.Table) -> pa.Table:
        """The rows (``image_id``, ``uri``, ``version``) that no part has, or only with a passing error."""
        known = self._read()
        if known is None:
            return rows
        reason = pc.list_element(pc.split_pattern(pc.fill_null(known["error"], ""), ":", max_splits=1), 0)
        settled = known.filter(pc.invert(pc.is_in(reason, value_set=pa.array(PASSING_REASONS))))
        return rows.filter(pc.is_null(_places(rows["uri"], rows[VERSION], settled)))

    def write(
        self,
        rows: pa.Table,
        scored: Iterable[ScoredRows],
        *,
        rows_per_part: int,
        heat_maps: str | None,
        on_part: Callable[[int], None],
    ) -> None:
        """Commit what comes in, in the order of ``rows``, a part whenever it is full.

        Args:
            rows: Those that are scored.
            scored: What `stream_scores` makes of them.
            rows_per_part: What a part has at least, but for the last.
            heat_maps: Of `score_table`.
            on_part: Is told how many rows are committed.
        """
        number, num_done, waiting, num_waiting = self._next_number(), 0, [], 0
        for batch in scored:
            waiting.append(batch)
            num_waiting += len(batch.row)
            is_last = num_done + num_waiting == rows.num_rows
            if num_waiting >= rows_per_part or is_last:
                self._commit(number, rows.slice(num_done, num_waiting), num_done, waiting, heat_maps)
                number, num_done, waiting, num_waiting = number + 1, num_done + num_waiting, [], 0
                on_part(num_done)
        if num_done != rows.num_rows:
            raise RuntimeError(f"of {rows.num_rows} photographs {rows.num_rows - num_done} were lost")

    def gathered(self, rows: pa.Table) -> pa.Table:
        """One row for each of ``rows``, in their order, without logits and versions; every one must be in a part."""
        known = self._read()
        places = None if known is None else _places(rows["uri"], rows[VERSION], known)
        if known is None or places is None or places.null_count:
            raise RuntimeError(f"{self.folder}: parts that were committed are gone")
        table = known.take(places).drop_columns(["logits", VERSION])
        # A photograph that is listed twice is scored once, but each row has its own id.
        return table.set_column(table.column_names.index("image_id"), "image_id", rows["image_id"])

    def _commit(
        self, number: int, rows: pa.Table, first_row: int, scored: list[ScoredRows], heat_maps: str | None
    ) -> None:
        row = np.concatenate([batch.row for batch in scored])
        if not np.array_equal(row, np.arange(first_row, first_row + rows.num_rows)):
            raise RuntimeError("scores came out of order, twice or not at all")
        errors = [error or None for batch in scored for error in batch.error]
        logits = np.concatenate([batch.logits for batch in scored])
        table = score_table(rows, logits, errors, heat_maps=heat_maps).append_column(VERSION, rows[VERSION])
        storage.write_table(storage.join(self.folder, f"part-{number:06d}-{self._digest}.parquet"), table)

    def _numbers(self) -> dict[int, str]:
        """URIs of this identity's parts by number."""
        if not storage.exists(self.folder):
            return {}
        own = re.compile(rf"part-(\d+)-{self._digest}\.parquet")
        named = [(uri, own.fullmatch(uri.rpartition("/")[2])) for uri, _, _ in storage.list_files(self.folder)]
        return {int(match[1]): uri for uri, match in named if match}

    def _next_number(self) -> int:
        return max(self._numbers(), default=-1) + 1

    def _read(self) -> pa.Table | None:
        """All parts, the newest first; None where there is none."""
        found = self._numbers()
        with ThreadPoolExecutor(_NUM_READERS) as readers:
            tables = list(readers.map(storage.read_table, [found[number] for number in sorted(found, reverse=True)]))
        return pa.concat_tables(tables).combine_chunks() if tables else None


def _places(uris: pa.ChunkedArray, version: pa.ChunkedArray, known: pa.Table) -> pa.ChunkedArray:
    """Where each photograph stands first in ``known``, null where it does not."""
    own = pc.binary_join_element_wise(uris, version, "\n")
    theirs = pc.binary_join_element_wise(known["image"], known[VERSION], "\n")
    return pc.index_in(own, value_set=theirs.combine_chunks())
