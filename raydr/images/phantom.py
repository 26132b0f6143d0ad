"""Phantoms: made-up fundus photographs of known grade, and data sets of them in EyePACS layout.

``python -m raydr.images.phantom OUT --patients N --seed S`` writes a data set.
"""

import argparse
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import isclose
from multiprocessing import get_context
from pathlib import Path
from statistics import NormalDist
from typing import Final, get_args

import cv2
import numpy as np

from raydr.errors import InputError
from raydr.images.jpeg import encode
from raydr.images.phantom_picture import CameraName, EyeName, draw_phantom, random_stream

__all__ = ["PREVALENCE", "draw_grades", "draw_phantom", "write_phantoms"]

PREVALENCE: Final = (0.55, 0.10, 0.20, 0.08, 0.07)
"""Shares of the grades 0 to 4: a screening population with more diseased eyes, so that a small set holds enough."""

_DRAWING: Final = 1  # raised whenever the same parameters give other pictures
_EYE_CORRELATION: Final = 0.989  # of the latent severity: with PREVALENCE, 87 % of patients have one grade in both eyes
_EYES: Final[tuple[EyeName, ...]] = get_args(EyeName)
_RECORD: Final = "phantoms.json"
_FEW_PATIENTS: Final = 24  # so few are drawn before other processes have started


def draw_grades(patient_seed: int, *, prevalence: Sequence[float] = PREVALENCE) -> tuple[int, int]:
    """A patient's grades, left and right: thresholds on two correlated normal severities (a Gaussian copula)."""
    generator = random_stream(patient_seed, "grades")
    shared, *own = generator.standard_normal(3)
    weight = _EYE_CORRELATION**0.5
    left, right = (
        int(np.searchsorted(np.cumsum(prevalence), NormalDist().cdf(weight * shared + (1 - weight**2) ** 0.5 * part)))
        for part in own
    )
    return min(left, 4), min(right, 4)


def write_phantoms(
    folder: str | Path,
    *,
    num_patients: int,
    seed: int,
    side_px: int = 384,
    camera: CameraName = "a",
    prefix: str = "",
    prevalence: Sequence[float] = PREVALENCE,
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Write two eyes of every patient in EyePACS layout; whether it was done (False: exactly these were there).

    ``<folder>/images/<patient>_{left,right}.jpeg``, ``<folder>/trainLabels.csv`` (``image,level``) and
    ``<folder>/phantoms.json``, the parameters. The folder appears when it is complete. Patient k is the same in a set
    of any size, and the same eye in both cameras.

    Args:
        folder: A folder that is missing, empty, or holds exactly these phantoms.
        num_patients: How many patients, 1 or more.
        seed: Another seed gives other patients.
        side_px: The pictures' width.
        camera: See ``draw_phantom``.
        prefix: What every patient's name begins with: sets that are used together need different ones.
        prevalence: The shares of the grades 0 to 4.
        progress: Called with the number of patients drawn so far; their pictures are drawn on all cores.

    Raises:
        InputError: The folder holds something else.
        ValueError: An argument out of its range.
    """
    folder = Path(folder)
    _check(num_patients, side_px, prefix, prevalence)
    record: dict[str, object] = {
        "drawing": _DRAWING,
        "num_patients": num_patients,
        "seed": seed,
        "side_px": side_px,
        "camera": camera,
        "prefix": prefix,
        "prevalence": list(prevalence),
    }
    if _is_there(folder, record):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        (unfinished / "images").mkdir(parents=True)
        draw = partial(
            _write_patient, unfinished / "images", seed=seed, side_px=side_px, camera=camera, prevalence=prevalence
        )
        names = [(index, f"{prefix}{index:05d}") for index in range(num_patients)]
        lines: list[str] = []
        for number, of_patient in enumerate(_each(draw, names), start=1):
            lines += of_patient
            if progress:
                progress(number)
        (unfinished / "trainLabels.csv").write_text("\n".join(["image,level", *lines, ""]), encoding="utf-8")
        (unfinished / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(folder)  # takes the place of an empty folder as well
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def _check(num_patients: int, side_px: int, prefix: str, prevalence: Sequence[float]) -> None:
    if num_patients < 1:
        raise ValueError(f"num_patients must be at least 1, got {num_patients}")
    if side_px < 32:
        raise ValueError(f"side_px must be at least 32, got {side_px}")
    if not re.fullmatch(r"[\w.-]*", prefix):
        raise ValueError(f"prefix must be letters, digits and any of . _ -, got {prefix!r}")
    if len(prevalence) != 5 or min(prevalence) < 0 or not isclose(sum(prevalence), 1, abs_tol=1e-6):
        raise ValueError(f"prevalence must be five shares that add up to 1, got {list(prevalence)}")


def _is_there(folder: Path, record: dict[str, object]) -> bool:
    """Whether the folder holds exactly these phantoms; refuses one that holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; phantoms need a folder that is missing or empty")
    if not folder.exists() or not any(folder.iterdir()):
        return False
    try:
        found = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{folder}: holds other files; phantoms need a folder that is missing or empty")
    differing = [f"{key} {found.get(key)!r}, not {value!r}" for key, value in record.items() if found.get(key) != value]
    if differing:
        raise InputError(f"{folder}: holds other phantoms ({'; '.join(differing)}); delete it or name another folder")
    return True


def _each(draw: partial[list[str]], names: Sequence[tuple[int, str]]) -> Iterator[list[str]]:
    """``draw`` of every name, in order."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers == 1 or len(names) <= _FEW_PATIENTS:
        yield from map(draw, names)
        return
    # Fresh processes: forking one that has threads may hang.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_worker) as pool:
        yield from pool.map(draw, names, chunksize=4)


def _prepare_worker() -> None:
    cv2.setNumThreads(1)
    # glibc gives freed blocks back at once until it has seen one this large: a quarter of the time went into getting
    # the same memory again, page by page.
    np.empty(24 << 20, dtype=np.uint8)


def _write_patient(
    images: Path, name: tuple[int, str], *, seed: int, side_px: int, camera: CameraName, prevalence: Sequence[float]
) -> list[str]:
    """Write a patient's two pictures; its lines of the label file."""
    index, patient = name
    patient_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    lines: list[str] = []
    for eye, grade in zip(_EYES, draw_grades(patient_seed, prevalence=prevalence), strict=True):
        picture = draw_phantom(patient_seed=patient_seed, eye=eye, grade=grade, side_px=side_px, camera=camera)
        quality = int(random_stream(patient_seed, "jpeg", eye).integers(75, 96))
        (images / f"{patient}_{eye}.jpeg").write_bytes(encode(picture, quality=quality))
        lines.append(f"{patient}_{eye},{grade}")
    return lines


def _tell(num_patients: int, number: int) -> None:
    """A line for every tenth of the patients."""
    if number * 10 // num_patients > (number - 1) * 10 // num_patients:
        sys.stdout.write(f"{number} of {num_patients} patients drawn\n")
        sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write phantoms as the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m raydr.images.phantom", description="Write made-up photographs.")
    parser.add_argument("folder", metavar="OUT", type=Path, help="a folder that is missing or empty")
    parser.add_argument("--patients", type=int, required=True, metavar="N", help="two pictures each")
    parser.add_argument("--seed", type=int, required=True, metavar="S")
    parser.add_argument("--camera", choices=get_args(CameraName), default="a")
    parser.add_argument("--side-px", type=int, default=384, metavar="PX", help="the pictures' width (384)")
    parser.add_argument("--prefix", default="", help="what the patients' names begin with")
    options = parser.parse_args(arguments)
    told = f"{2 * options.patients} phantoms (camera {options.camera}, seed {options.seed})"
    try:
        is_new = write_phantoms(
            options.folder,
            num_patients=options.patients,
            seed=options.seed,
            side_px=options.side_px,
            camera=options.camera,
            prefix=options.prefix,
            progress=partial(_tell, options.patients),
        )
    except (InputError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{options.folder}: {told} {'written' if is_new else 'already there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
