"""A photograph's bytes to a network's square input: one way for training pictures and for new ones."""

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from raydr.images.enhance import Enhancement, enhance
from raydr.images.fundus import RetinalDisc, Sighting, crop_retinal_disc, pad_to_square, sight_retina
from raydr.images.jpeg import Picture, decode_picture
from raydr.images.quality import Quality, measure_quality
from raydr.images.resize import resize

# Of the canvas's side. A camera's disc spans at least about 5/6 of its picture's shorter side, more where it is cut,
# so this many pixels seldom leave the disc short of the canvas; where they do, the picture is decoded again.
_DISC_MARGIN: Final = 1.2


@dataclass(frozen=True, slots=True)
class Examined:
    """A photograph's canvas and what was learnt on the way to it."""

    canvas: NDArray[np.uint8]
    """What ``Preprocess.canvas`` returns, [canvas_px, canvas_px, 3]."""
    width_px: int
    """Of the original picture, upright."""
    height_px: int
    disc: RetinalDisc
    """In pixels of the original picture; the whole picture's circle where no disc can be seen."""
    quality: Quality
    """Measured before enhancement."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a photograph becomes a square input; stored with a model, so that new photographs take the same way."""

    side_px: int
    """Side of the input."""
    crop: bool = True
    """Crop the square around the retinal disc, else pad the whole picture to a square."""
    enhance: Enhancement = "none"
    max_megapixels: float = 200.0
    """Larger pictures are refused unread."""
    through_px: int | None = None
    """Side of the canvas where it is not ``side_px``: that of the shards which the training pictures came through."""

    def __post_init__(self) -> None:
        for name, side in (("side_px", self.side_px), ("through_px", self.through_px)):
            if side is not None and side < 1:
                raise ValueError(f"{name} must be at least 1, got {side}")

    @property
    def canvas_px(self) -> int:
        """Side of the canvas."""
        return self.side_px if self.through_px is None else self.through_px

    def canvas(self, data: bytes) -> NDArray[np.uint8]:
        """The retina of a picture file, enhanced, as [canvas_px, canvas_px, 3].

        Raises:
            UnreadableImageError: The only error that a file's content can cause.
        """
        square, _, _ = self._square(data)
        return enhance(square, self.enhance)

    def examine(self, data: bytes) -> Examined:
        """What ``canvas`` returns, with what is known of the picture; raises what ``canvas`` raises."""
        square, picture, sighting = self._square(data)
        if sighting is None:
            sighting = sight_retina(picture.pixels)
        return Examined(
            enhance(square, self.enhance),
            picture.width_px,
            picture.height_px,
            sighting.disc.scaled(picture.width_px / picture.pixels.shape[1]),
            measure_quality(sighting),
        )

    def finish(self, canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A canvas resized to [side_px, side_px, 3]; the canvas itself where it has that size."""
        return resize(canvas, width=self.side_px, height=self.side_px)

    def __call__(self, data: bytes) -> NDArray[np.uint8]:
        """The network's input [side_px, side_px, 3] from a picture file; raises what ``canvas`` raises."""
        return self.finish(self.canvas(data))

    def _square(self, data: bytes) -> tuple[NDArray[np.uint8], Picture, Sighting | None]:
        """The picture's square before enhancement, the decoded picture, and where its retina was sighted if sought."""
        side = self.canvas_px
        if not self.crop:
            picture = self._decoded(data, side)
            return pad_to_square(picture.pixels, side_px=side), picture, None
        needed = ceil(_DISC_MARGIN * side)
        picture = self._decoded(data, needed)
        sighting = sight_retina(picture.pixels)
        shorter, diameter = min(picture.pixels.shape[:2]), 2 * sighting.disc.radius_px
        # A picture with fewer than the pixels asked for was decoded at its own size already.
        if diameter < side and shorter >= needed:
            picture = self._decoded(data, ceil(shorter * side / diameter))
            sighting = sight_retina(picture.pixels)
        return crop_retinal_disc(picture.pixels, sighting.disc, side_px=side), picture, sighting

    def _decoded(self, data: bytes, min_side_px: int) -> Picture:
        return decode_picture(data, min_side_px=min_side_px, max_megapixels=self.max_megapixels)
