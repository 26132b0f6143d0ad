"""The eight ways to lay a square picture on a table, over which predictions are averaged."""

from typing import Literal

from torch import Tensor

NumViews = Literal[1, 2, 4, 8]


def dihedral_views(image: Tensor, num_views: NumViews) -> list[Tensor]:
    """The first views of images [B, C, S, S] under the dihedral group of the square, the picture itself first.

    2: with its left-right mirror image; 4: with the top-bottom mirror image and both (half a turn); 8: the whole group,
    those four of the transposed picture too (quarter turns and diagonal mirrors).
    """
    if num_views not in (1, 2, 4, 8):
        raise ValueError(f"num_views {num_views} must be 1, 2, 4 or 8")
    if image.ndim != 4 or image.shape[-1] != image.shape[-2]:
        raise ValueError(f"image {tuple(image.shape)} must be [B, C, S, S]")
    views = [image]
    for axes in ((-1,), (-2,)):
        if len(views) < num_views:
            views += [view.flip(axes) for view in views]
    if num_views == 8:
        views += [view.transpose(-1, -2).contiguous() for view in views]
    return views
