"""The report of `raydr prepare`: what became of the photographs, how good they are, and where the retina was found."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raydr import storage
from raydr.reporting import montage, quality_figures
from raydr.reporting.montage import Tile
from raydr.reporting.page import render_page
from raydr.reporting.wording import count, counted

REASONS: Final[Mapping[str, str]] = {
    "missing": "There is no such file.",
    "not_a_file": "A folder stands where the file should be.",
    "permission": "The file may not be read.",
    "unavailable": "The object store failed on this file though it answered.",
    "unreadable": "The file system or the decoder failed on it.",
    "crash": "The process that decoded it died at every attempt.",
    "empty": "The file has no bytes.",
    "not_an_image": "The content is not of a kind of picture that raydr reads.",
    "truncated": "The file ends before the picture does.",
    "too_large": "The picture has more megapixels than the settings allow.",
    "unsupported_pixels": "The pixels are of a kind whose white is not known.",
}
"""What the reasons of the quarantine mean."""

_MAX_EXAMPLES: Final = 5  # a reason
# The groups of the montage by their tiles' first reason: heading and what it shows.
_GROUPS: Final[Mapping[str, tuple[str, str]]] = {
    "drawn at random": ("At random", "What most photographs look like."),
    "least sharp": ("Least sharp", "Those with the lowest focus."),
    "darkest": ("Darkest", "Those whose retina is darkest."),
    "brightest": ("Brightest", "Those whose retina is brightest."),
    "estimated ungradable": ("Estimated ungradable", "Drawn at random from those estimated not to be gradable."),
}


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What was prepared, as its readers see it."""

    title: str
    created: datetime
    num_images: int
    num_written: int
    num_shards: int
    num_bytes: int
    """Of the shards."""
    quarantine: pa.Table
    """``image_id``, ``uri``, ``reason`` and ``message`` of every photograph that could not be used."""
    quality: pa.Table
    """One row a prepared photograph: sizes, the disc in pixels of the original, the figures of its quality."""
    side_px: int
    """Side of the shards' pictures."""
    is_cropped: bool = True
    """Whether the square around the disc was cut out."""
    enhance: str = "none"
    tiles: Sequence[Tile] | None = None
    """The montage; None where it is switched off."""
    quarantine_file: str = "quarantine.parquet"
    """Where the whole quarantine is."""
    settings: str = ""
    """TOML."""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some photographs are in quarantine."""

    code: str
    meaning: str
    num_images: int
    examples: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Group:
    """The tiles of the montage that are shown for the same reason."""

    title: str
    meaning: str
    tiles: Sequence[Tile]


def render_prepare_report(report: PrepareReport) -> str:
    """The report as one HTML page that loads nothing; it holds photographs of patients where it has a montage."""
    judged = [value for value in report.quality["gradable"].to_pylist() if value is not None]
    return render_page(
        "prepare_report.html.jinja",
        report=report,
        reasons=quarantine_reasons(report.quarantine),
        num_judged=len(judged),
        num_gradable=sum(judged),
        spreads=quality_figures.spreads(report.quality, side_px=report.side_px),
        remarks=remarks(report),
        groups=montage_groups(report.tiles or ()),
        montage=montage,
    )


def write_prepare_report(uri: str, report: PrepareReport) -> None:
    """Write the report to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_prepare_report(report).encode())


def quarantine_reasons(quarantine: pa.Table) -> list[Reason]:
    """The reasons of the quarantine with examples, the most frequent one first."""
    counts = Counter(quarantine["reason"].to_pylist())
    found = []
    for code, num_images in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
        rows = quarantine.filter(pc.equal(quarantine["reason"], code)).slice(0, _MAX_EXAMPLES)
        found.append(Reason(code, REASONS.get(code, ""), num_images, rows.to_pylist()))
    return found


def remarks(report: PrepareReport) -> list[str]:
    """What stands out among the photographs, a sentence each."""
    found = []
    shorter = [
        min(width, height)
        for width, height in zip(*(report.quality[name].to_pylist() for name in ("width_px", "height_px")), strict=True)
        if width is not None and height is not None
    ]
    if shorter:
        low, high = min(shorter), max(shorter)
        sides = f"between {count(low)} and {count(high)} pixels" if low < high else f"{count(low)} pixels"
        found.append(f"The shorter side of a photograph is {sides}.")
    num_blind = int((quality_figures.values_of(report.quality, "disc_fraction") == 0).sum())
    if num_blind:
        found.append(f"No retinal disc was found in {counted(num_blind, 'photograph')}: the whole picture is kept.")
    else:
        found.append("A retinal disc was found in every photograph.")
    diameter = quality_figures.values_of(report.quality, quality_figures.DIAMETER)
    num_small = int((diameter[np.isfinite(diameter)] < report.side_px - 1).sum()) if report.is_cropped else 0
    if num_small:
        found.append(
            f"The retina of {counted(num_small, 'photograph')} is less than {report.side_px} pixels across "
            "and was enlarged: smaller shards would lose nothing of it."
        )
    return found


def montage_groups(tiles: Sequence[Tile]) -> list[Group]:
    """The tiles by their first reason, in the order of the page."""
    kinds = list(dict.fromkeys([*_GROUPS, *(tile.reasons[0] for tile in tiles)]))
    groups = []
    for kind in kinds:
        title, meaning = _GROUPS.get(kind, (kind.capitalize(), ""))
        members = [tile for tile in tiles if tile.reasons[0] == kind]
        if members:
            groups.append(Group(title, meaning, members))
    return groups
