"""`raydr export`: a model as one file for other programs, checked against the original before it is written."""

import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from raydr import __version__, storage
from raydr.config.jobs import ExportSettings
from raydr.data.photographs import decoded
from raydr.engine.export import (
    FILES,
    METADATA,
    check_export,
    describe_export,
    greatest_difference,
    load_export,
    write_export,
)
from raydr.engine.package import load_model
from raydr.errors import InputError, RunError
from raydr.images.jpeg import UnreadableImageError, encode
from raydr.images.phantom import draw_phantom
from raydr.images.preprocess import Preprocess
from raydr.inference.listing import list_images
from raydr.workflows.console import say
from raydr.workflows.job import Outcome, Stage, check_free, perform
from raydr.workflows.models import model_folder
from raydr.workflows.result import StageResult

LARGEST_DIFFERENCE: Final = 1e-4
"""Of a probability; an exported model that is further from the original is not written."""
_NUM_PICTURES: Final = 16
_BATCH_SIZES: Final = (1, 3)


def export(settings: ExportSettings) -> StageResult:
    """The result of an export; its artifacts are `model` and `metadata`, in `out` once the model is proved right."""
    check_export(settings.format)
    check_free(storage.absolute(settings.out), *FILES.values(), METADATA)
    folder = model_folder(settings.model, settings)

    def body(stage: Stage) -> Outcome:
        model = load_model(folder)
        pictures = _pictures(settings.images, model.preprocess)
        metadata = describe_export(model.description, settings.format, version=__version__)
        with tempfile.TemporaryDirectory() as temporary:
            written = write_export(
                model.network,
                Path(temporary),
                settings.format,
                side_px=model.preprocess.side_px,
                metadata=metadata,
            )
            run = load_export(written, settings.format)
            difference = greatest_difference(load_model(folder).network, run, pictures, batch_sizes=_BATCH_SIZES)
            told = f"{difference:.2g} on {len(pictures)} pictures in batches of {' and '.join(map(str, _BATCH_SIZES))}"
            if not difference <= LARGEST_DIFFERENCE:
                raise RunError(
                    f"export: the exported model's probabilities differ from the original's by up to {told}; "
                    f"at most {LARGEST_DIFFERENCE:g} is allowed, so nothing was written"
                )
            say(f"  greatest difference from the original: {told}")
            for file in sorted(Path(temporary).iterdir()):
                storage.write_bytes(stage.path(file.name), file.read_bytes())
        metadata["parity"] = {
            "greatest_difference": difference,
            "allowed": LARGEST_DIFFERENCE,
            "pictures": len(pictures),
            "of": settings.images or "made-up eyes",
            "batch_sizes": list(_BATCH_SIZES),
        }
        storage.write_bytes(stage.path(METADATA), json.dumps(metadata, indent=2).encode())
        artifacts = {"model": stage.path(written.name), "metadata": stage.path(METADATA)}
        say(f"  {artifacts['model']}, described in {METADATA} beside it")
        figures = {"greatest_difference": difference}
        return Outcome(figures, artifacts, figures)

    return perform(settings, "export", inputs={"model": folder}, pipeline=None, body=body)


def _pictures(images: str | None, preprocess: Preprocess) -> NDArray[np.uint8]:
    """Inputs [N, 3, S, S] to compare on; InputError where no photograph of ``images`` can be read."""
    found = _phantoms(preprocess) if images is None else _photographs(images, preprocess)
    pictures = list(itertools.islice(found, _NUM_PICTURES))
    if not pictures:
        raise InputError(f"{images}: images: none of the photographs can be read")
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))


def _photographs(images: str, preprocess: Preprocess) -> Iterator[NDArray[np.uint8]]:
    uris = list_images(images)["uri"].to_pylist()
    for start in range(0, len(uris), _NUM_PICTURES):
        made = decoded(uris[start : start + _NUM_PICTURES], preprocess)
        yield from (picture for picture in made if not isinstance(picture, UnreadableImageError))


def _phantoms(preprocess: Preprocess) -> Iterator[NDArray[np.uint8]]:
    for seed in range(_NUM_PICTURES):
        yield preprocess(encode(draw_phantom(patient_seed=seed, eye="left", grade=seed % 5)))
