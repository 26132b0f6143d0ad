"""Datasets as settings name them into the layouts that read them."""

from raydr import storage
from raydr.config.sources import (
    Aptos2019Source,
    CsvSource,
    DdrSource,
    DeepdridSource,
    EyepacsSource,
    IdridSource,
    Messidor2Source,
    SourceSettings,
)
from raydr.data.layouts.aptos2019 import Aptos2019
from raydr.data.layouts.csv_file import Columns, CsvFile
from raydr.data.layouts.ddr import Ddr
from raydr.data.layouts.deepdrid import DeepDrid
from raydr.data.layouts.eyepacs import EyePacs
from raydr.data.layouts.idrid import Idrid
from raydr.data.layouts.layout import Layout
from raydr.data.layouts.messidor2 import Messidor2
from raydr.data.sources import Source


def source_of(name: str, settings: SourceSettings) -> Source:
    """The dataset that a section of the settings describes."""
    return Source(
        name, _layout(settings), external=settings.role == "external", drop_missing=settings.missing == "drop"
    )


def _layout(settings: SourceSettings) -> Layout:
    match settings:
        case CsvSource():
            return CsvFile(
                images=storage.absolute(settings.images),
                labels=settings.labels,
                splits=settings.splits,
                columns=Columns(**settings.columns.model_dump()),
            )
        case EyepacsSource():
            return EyePacs(
                images=storage.absolute(settings.images),
                labels=settings.labels,
                test_images=None if settings.test_images is None else storage.absolute(settings.test_images),
                test_labels=settings.test_labels,
                test_usage=settings.test_usage,
                gradability=settings.gradability,
                splits=settings.splits,
                allow_partial=settings.allow_partial,
            )
        case Messidor2Source():
            return Messidor2(
                images=storage.join(storage.absolute(settings.root), settings.images),
                labels=storage.join(settings.root, settings.labels),
                pairs=storage.join(settings.root, settings.pairs),
                exams=storage.join(settings.root, settings.exams),
                label_source=settings.label_source,
                allow_partial=settings.allow_partial,
            )
        case Aptos2019Source():
            return Aptos2019(
                images=storage.join(storage.absolute(settings.root), settings.images),
                labels=storage.join(settings.root, settings.labels),
                allow_partial=settings.allow_partial,
            )
        case IdridSource():
            return Idrid(settings.root, allow_partial=settings.allow_partial)
        case DdrSource():
            return Ddr(settings.root, allow_partial=settings.allow_partial)
        case DeepdridSource():
            return DeepDrid(settings.root, allow_partial=settings.allow_partial)
