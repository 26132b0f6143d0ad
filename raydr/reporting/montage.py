"""A montage of photographs: where the retina was found on the original, and what the network sees of it."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import pyarrow as pa
from markupsafe import Markup
from numpy.typing import NDArray

from raydr.images.jpeg import UnreadableImageError, decode, encode
from raydr.images.preprocess import Preprocess
from raydr.reporting.wording import count, data_uri, number

_PHOTO_PX: Final = 440  # longer side of a photograph, about twice what the page gives it
_CANVAS_PX: Final = 300
_PAIR_BYTES: Final = 44_000  # thirty pairs, written in base64, stay under 2 MB
_QUALITIES: Final = (84, 74, 62, 48, 34, 20)
_NUM_THREADS: Final = 4  # each holds a whole photograph
_MARGIN: Final = 0.012  # of the drawing, so that a line along its edge is seen whole

# Which photographs are shown beside the random ones: by what, whether from its low end, how many, and why.
_EXTREMES: Final = (
    ("focus", True, 6, "least sharp"),
    ("brightness", True, 3, "darkest"),
    ("brightness", False, 3, "brightest"),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A photograph to be shown: its row and every reason for it, the first one first."""

    row: int
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tile:
    """A photograph beside its canvas; ``problem`` says why it is not there, where it is not."""

    image_id: str
    reasons: Sequence[str]
    figures: Mapping[str, Any]
    """Its row of the quality table."""
    photo: bytes = b""
    """JPEG, the whole picture."""
    canvas: bytes = b""
    """JPEG."""
    problem: str = ""

    @property
    def has_disc(self) -> bool:
        """Whether a retinal disc was found."""
        return bool(self.figures["disc_fraction"]) and self.figures["disc_radius_px"] is not None


def choose(quality: pa.Table, *, seed: int, num_random: int = 12, num_ungradable: int = 6) -> list[Choice]:
    """Photographs that show how well the retina was found: some at random, the extremes, some estimated ungradable.

    The order is theirs on the page. A photograph is shown once, with every reason for it; a small table has fewer
    extremes, so that they stay extreme.

    Args:
        quality: One row an image: ``focus``, ``brightness`` and ``gradable``, null where not known.
        seed: Of the random ones; the same table and seed give the same choice.
        num_random: At most.
        num_ungradable: At most, drawn at random.
    """
    generator = np.random.default_rng(seed)
    reasons: dict[int, list[str]] = {}
    for row in generator.permutation(quality.num_rows)[:num_random].tolist():
        reasons[row] = ["drawn at random"]
    for name, is_low, wanted, words in _EXTREMES:
        values = quality[name].to_numpy().astype(np.float64)
        known = np.flatnonzero(np.isfinite(values))
        order = known[np.argsort(values[known] if is_low else -values[known], kind="stable")]
        for row in order[: min(wanted, -(-quality.num_rows // 10))].tolist():
            reasons.setdefault(row, []).append(words)
    ungradable = np.flatnonzero([value is False for value in quality["gradable"].to_pylist()])
    for row in generator.permutation(ungradable)[:num_ungradable].tolist():
        reasons.setdefault(row, []).append("estimated ungradable")
    return [Choice(row, tuple(why)) for row, why in reasons.items()]


def make_tiles(
    quality: pa.Table, choices: Sequence[Choice], *, read: Callable[[str], bytes], preprocess: Preprocess
) -> list[Tile]:
    """The chosen photographs, read and drawn; one that cannot be read any more is a tile that says so.

    Args:
        quality: One row an image: ``image_id``, ``uri`` and the figures shown.
        choices: Its rows.
        read: The bytes of a URI; may raise OSError and UnreadableImageError.
        preprocess: What makes the canvas.
    """
    rows = quality.take(pa.array([choice.row for choice in choices], pa.int64())).to_pylist()

    def tile(row: Mapping[str, Any], choice: Choice) -> Tile:
        try:
            data = read(row["uri"])
            photo = decode(data, min_side_px=_PHOTO_PX, max_megapixels=preprocess.max_megapixels)
            canvas = preprocess.canvas(data)
        except (OSError, UnreadableImageError) as error:
            return Tile(row["image_id"], choice.reasons, row, problem=f"can no longer be read: {error}")
        photo, canvas = _reduced(photo, _PHOTO_PX), _reduced(canvas, _CANVAS_PX)
        return Tile(row["image_id"], choice.reasons, row, *_encoded_pair(photo, canvas))

    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        return list(threads.map(tile, rows, choices))


def drawing(tile: Tile, *, is_cropped: bool = True) -> Markup:
    """The photograph with its disc's circle and, where the canvas is cropped, the square that was cut out.

    In pixels of the original, so that the lines lie where the figures say; the drawing is larger than the photograph
    where the square reaches beyond it.
    """
    width, height = float(tile.figures["width_px"]), float(tile.figures["height_px"])
    left, top, right, bottom = 0.0, 0.0, width, height
    lines = [Markup('<rect class="frame" width="{:g}" height="{:g}"/>').format(width, height)]
    if tile.has_disc:
        x, y, radius = (float(tile.figures[name]) for name in ("disc_x_px", "disc_y_px", "disc_radius_px"))
        if is_cropped:
            left, top = min(left, x - radius), min(top, y - radius)
            right, bottom = max(right, x + radius), max(bottom, y + radius)
            square = Markup('x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"')
            lines += _twice("rect", "square", square.format(x - radius, y - radius, 2 * radius, 2 * radius))
        circle = Markup('cx="{:.1f}" cy="{:.1f}" r="{:.1f}"').format(x, y, radius)
        lines += _twice("circle", "ring", circle)
    margin = _MARGIN * max(right - left, bottom - top)
    box = (left - margin, top - margin, right - left + 2 * margin, bottom - top + 2 * margin)
    picture = Markup('<image href="{}" width="{:g}" height="{:g}" preserveAspectRatio="none"/>')
    return Markup('<svg viewBox="{:.1f} {:.1f} {:.1f} {:.1f}" role="img" aria-label="Photograph {}">{}{}</svg>').format(
        *box, tile.image_id, picture.format(data_uri(tile.photo), width, height), Markup("").join(lines)
    )


def caption(tile: Tile) -> str:
    """The figures of a tile in words."""
    figures = tile.figures
    parts = [f"focus {number(figures['focus'], 2)}", f"brightness {number(figures['brightness'], 2)}"]
    if figures["width_px"] and figures["height_px"]:
        parts.append(f"{count(figures['width_px'])} × {count(figures['height_px'])} px")
    return ", ".join(parts)


def _twice(tag: str, kind: str, where: str) -> list[Markup]:
    """A shape dark and wide, then light and thin over it: to be seen on black and on white."""
    shape = Markup('<{} class="{} {}" {}/>')
    return [shape.format(Markup(tag), kind, weight, where) for weight in ("under", "over")]  # noqa: S704  # fixed names


def _reduced(image: NDArray[np.uint8], longer_px: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = longer_px / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _encoded_pair(photo: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Both as JPEG, at the best quality that keeps the page small."""
    pair = (b"", b"")
    for quality in _QUALITIES:
        pair = (encode(photo, quality=quality), encode(canvas, quality=quality))
        if sum(map(len, pair)) <= _PAIR_BYTES:
            break
    return pair
