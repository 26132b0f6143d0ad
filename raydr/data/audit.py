"""The leak audit: what a test set must not share with what was trained on."""

import hashlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from raydr import storage
from raydr.data.manifest import patients_of


@dataclass(frozen=True, slots=True)
class LeakAudit:
    """Patients and byte-identical files that stand in more than one split."""

    shared_patients: tuple[str, ...]
    shared_files: tuple[tuple[str, ...], ...]
    """Groups of image ids with the same bytes in different splits."""
    num_unreadable: int
    """Files whose bytes could not be read; `prepare` quarantines them."""


def _file_digest(uri: str) -> str | None:
    try:
        content = storage.read_bytes(uri)
    except OSError:
        return None
    return hashlib.sha256(content).hexdigest() if content else None


def audit_leaks(manifest: pa.Table, *, num_threads: int = 8) -> LeakAudit:
    """What the splits of a manifest share; reads every file once."""
    splits_of_patient: dict[str, set[str]] = defaultdict(set)
    for patient, split in zip(patients_of(manifest).tolist(), manifest["split"].to_pylist(), strict=True):
        splits_of_patient[patient].add(split)
    uris, splits = manifest["uri"].to_pylist(), manifest["split"].to_pylist()
    with ThreadPoolExecutor(num_threads) as pool:
        digests = list(pool.map(_file_digest, uris, chunksize=64))
    rows_of_digest: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        if digest is not None:
            rows_of_digest[digest].append(row)
    image_ids = manifest["image_id"].to_pylist()
    shared = [rows for rows in rows_of_digest.values() if len({splits[row] for row in rows}) > 1]
    return LeakAudit(
        shared_patients=tuple(sorted(name for name, found in splits_of_patient.items() if len(found) > 1)),
        shared_files=tuple(tuple(image_ids[row] for row in rows) for rows in shared),
        num_unreadable=sum(digest is None for digest in digests),
    )
