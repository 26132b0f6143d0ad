"""The leak audit: what a test set must not share with what was trained on."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raydr import storage
from raydr.data.manifest import patients_of
from raydr.errors import InputError
from raydr.images.duplicates import find_near_identical
from raydr.images.jpeg import UnreadableImageError, decode
from raydr.images.similarity import MIN_SIDE_PX, Fingerprint, fingerprint

FINDINGS_SCHEMA: Final = pa.schema(
    [
        pa.field("finding", pa.string(), nullable=False),
        pa.field("dataset_a", pa.string(), nullable=False),
        pa.field("image_id_a", pa.string(), nullable=False),
        pa.field("split_a", pa.string(), nullable=False),
        pa.field("dataset_b", pa.string(), nullable=False),
        pa.field("image_id_b", pa.string(), nullable=False),
        pa.field("split_b", pa.string(), nullable=False),
        pa.field("patient_id", pa.string()),
        pa.field("similarity", pa.float32()),
    ]
)
_NUM_NAMED: Final = 3  # findings that an error names before it only counts
# What each finding is called and what to do about it.
_WORDS: Final = {
    "shared_patients": ("patients are in more than one split", "give all images of a patient one split"),
    "identical_files": ("pairs of files in different splits or datasets are identical", "remove one of each"),
    "near_identical_images": (
        "pairs of images in different splits or datasets are near-identical",
        "look at them and remove one of each",
    ),
}


@dataclass(frozen=True, slots=True)
class LeakAudit:
    """What stands in more than one split or dataset, and what could not be compared."""

    findings: pa.Table
    """``FINDINGS_SCHEMA``, one row a pair of images.

    ``shared_patients``: an image of a patient in one split and one in another (the first of each).
    ``identical_files``: the same bytes in another split or dataset.
    ``near_identical_images``: other bytes but the same picture in another split or dataset; ``similarity`` from 0.75.
    """
    num_unreadable: int
    """Files whose bytes could not be read; `prepare` quarantines them."""
    num_without_picture: int | None
    """Files with bytes but no picture that shows anything; None where no picture was looked at."""

    def count(self, finding: str) -> int:
        """How many patients, or pairs of images, a finding of this name has."""
        return len(self.named(finding))

    def named(self, finding: str) -> tuple[str, ...]:
        """Patients, or pairs of images, as they are named to a person."""
        rows = self.findings.filter(pc.equal(self.findings["finding"], finding)).to_pylist()
        if finding == "shared_patients":
            return tuple(dict.fromkeys(row["patient_id"] for row in rows))
        sign = "=" if finding == "identical_files" else "~"
        return tuple(f"{row['image_id_a']} {sign} {row['image_id_b']}" for row in rows)

    def table(self) -> list[list[str]]:
        """Finding, where and where else, number of rows, an example: one line each, for a terminal."""
        places: Counter[tuple[str, ...]] = Counter()
        examples: dict[tuple[str, ...], str] = {}
        for row in self.findings.to_pylist():
            sides = sorted([f"{row['dataset_a']} {row['split_a']}", f"{row['dataset_b']} {row['split_b']}"])
            place = (row["finding"].replace("_", " "), *sides)
            places[place] += 1
            examples.setdefault(place, f"{row['image_id_a']}, {row['image_id_b']}")
        return [[*place, str(count), examples[place]] for place, count in places.items()]


TABLE_HEADER: Final = ("finding", "in", "and in", "pairs", "example")
"""Of ``LeakAudit.table``."""


def audit_leaks(
    manifest: pa.Table,
    *,
    near_identical: bool = True,
    num_threads: int = 8,
    progress: Callable[[int], None] | None = None,
) -> LeakAudit:
    """What the splits and datasets of a manifest share; reads every file once.

    Args:
        manifest: With a split in every row.
        near_identical: Look for near-identical images as well: every file is decoded then.
        num_threads: Files read at once.
        progress: Called with the number of files read so far.
    """

    def look(uri: str) -> tuple[bytes | None, Fingerprint | None]:
        return _look(uri, near_identical=near_identical)

    digests: list[bytes | None] = []
    fingerprints: list[Fingerprint | None] = []
    with ThreadPoolExecutor(num_threads) as pool:
        for digest, found in pool.map(look, manifest["uri"].to_pylist()):
            digests.append(digest)
            fingerprints.append(found)
            if progress:
                progress(len(digests))
    groups = _groups_of(manifest)
    pairs: list[tuple[str, int, int, float | None]] = [("shared_patients", *pair, None) for pair in _split(manifest)]
    pairs += [("identical_files", *pair, 1.0) for pair in _identical(digests, groups)]
    pairs += [
        ("near_identical_images", pair.first, pair.second, pair.similarity)
        for pair in find_near_identical(fingerprints, groups)
        if digests[pair.first] != digests[pair.second]
    ]
    num_pictures = sum(found is not None for found in fingerprints)
    num_unreadable = sum(digest is None for digest in digests)
    return LeakAudit(
        findings=_findings(manifest, pairs),
        num_unreadable=num_unreadable,
        num_without_picture=len(digests) - num_unreadable - num_pictures if near_identical else None,
    )


def check_audit(audit: LeakAudit, waive: Sequence[str], *, table_uri: str, key: str = "waive") -> None:
    """Refuse what the audit found, but for what is waived.

    Args:
        audit: As found.
        waive: Names of findings to let pass.
        table_uri: Where the findings can be read, for the error to say.
        key: The setting by which they are waived, likewise.

    Raises:
        InputError: one line with the number and some names of every finding that is not waived, and what to do.
    """
    found = [name for name in _WORDS if name not in waive and audit.count(name)]
    if not found:
        return
    parts = []
    for name in found:
        what, remedy = _WORDS[name]
        parts.append(f"{audit.count(name)} {what}: {_some(audit.named(name))}; {remedy}")
    allowed = json.dumps([name for name in _WORDS if name in waive or name in found])
    raise InputError(f"audit: {'; '.join(parts)}, or set {key} = {allowed}; all of them are in {table_uri}")


def _look(uri: str, *, near_identical: bool) -> tuple[bytes | None, Fingerprint | None]:
    """A file's digest, None where it has no bytes, and its picture's fingerprint, None where it has none."""
    try:
        content = storage.read_bytes(uri)
    except (storage.UnavailableError, storage.DeniedError):
        raise  # a store that is away or refuses must not hide a leak
    except OSError:
        return None, None
    if not content:
        return None, None
    digest = hashlib.sha256(content).digest()
    if not near_identical:
        return digest, None
    try:
        image = decode(content, min_side_px=MIN_SIDE_PX)
    except UnreadableImageError:
        return digest, None
    return digest, fingerprint(image)


def _groups_of(manifest: pa.Table) -> NDArray[np.int64]:
    """A number for every row that differs where the dataset or the split does."""
    places = pc.binary_join_element_wise(manifest["dataset"], manifest["split"], "/").to_numpy(zero_copy_only=False)
    _, groups = np.unique(places.astype(str), return_inverse=True)
    return groups.astype(np.int64)


def _split(manifest: pa.Table) -> Iterator[tuple[int, int]]:
    """For patients in several splits, the first row in their first split and the first in every other."""
    firsts: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (patient, split) in enumerate(
        zip(patients_of(manifest).tolist(), manifest["split"].to_pylist(), strict=True)
    ):
        firsts[patient].setdefault(split, row)
    for _, (first, *others) in sorted((patient, list(rows.values())) for patient, rows in firsts.items()):
        yield from ((first, other) for other in others)


def _identical(digests: Sequence[bytes | None], groups: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Every row with the first row of another group that has the same bytes."""
    rows_of_digest: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        if digest is not None:
            rows_of_digest[digest].append(row)
    pairs: set[tuple[int, int]] = set()
    for rows in rows_of_digest.values():
        first = rows[0]
        elsewhere = next((row for row in rows if groups[row] != groups[first]), None)
        if elsewhere is not None:
            partners = ((row, elsewhere if groups[row] == groups[first] else first) for row in rows)
            pairs.update((min(pair), max(pair)) for pair in partners)
    return sorted(pairs)


def _findings(manifest: pa.Table, pairs: Sequence[tuple[str, int, int, float | None]]) -> pa.Table:
    images = manifest.select(["dataset", "image_id", "split"])
    patients = patients_of(manifest)
    rows = []
    for finding, first, second, similarity in pairs:
        row: dict[str, Any] = {"finding": finding, "similarity": similarity}
        for side, number in (("a", first), ("b", second)):
            row |= {f"{name}_{side}": value[0] for name, value in images.slice(number, 1).to_pydict().items()}
        rows.append(row | {"patient_id": str(patients[first]) if patients[first] == patients[second] else None})
    return pa.Table.from_pylist(rows, schema=FINDINGS_SCHEMA)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
