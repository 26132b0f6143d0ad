"""Made-up lesions: where they lie, what they change, what is told of them."""

import numpy as np
import pytest
import torch
from scipy.ndimage import minimum_filter
from torch import Tensor

from raydr.images.lesions import SIGNS, Blobs, DrawnLesions, draw_lesions, paint_lesions

SIDE_PX = 64
NONE, SOME = 0, 200


def disc(count: int, side_px: int = SIDE_PX, level: float = 0.5) -> Tensor:
    """Grey retinas on black."""
    place = (torch.arange(side_px) + 0.5) / side_px - 0.5
    is_retina = place[:, None] ** 2 + place**2 < 0.48**2
    return (level * is_retina).expand(count, 3, -1, -1).clone()


def drawn(count: int = SOME, seed: int = 0) -> DrawnLesions:
    return draw_lesions(count, torch.Generator().manual_seed(seed))


def num_of(blobs: Blobs, count: int = SOME) -> Tensor:
    return torch.bincount(blobs.image, minlength=count)


def test_an_image_is_changed_exactly_where_it_is_told_to_have_lesions():
    image, lesions = disc(SOME), drawn()
    is_changed = (paint_lesions(image, lesions) != image).flatten(1).any(dim=1)
    has_some = lesions.signs.any(dim=1)
    assert not is_changed[~has_some].any()
    assert is_changed[has_some].float().mean() > 0.95  # a heap at the edge may lie outside the retina
    assert 0.2 < has_some.float().mean() < 0.9


def test_the_signs_say_what_was_drawn():
    lesions = drawn()
    red = num_of(lesions.microaneurysms) + num_of(lesions.haemorrhages)
    assert SIGNS[:2] == ("red lesions", "many red lesions")
    assert torch.equal(lesions.signs[:, 0], (red > 0).float())
    assert torch.equal(lesions.signs[:, 1], (red >= 6).float())
    assert torch.equal(lesions.signs[:, 3], (num_of(lesions.exudates) > 0).float())
    assert torch.equal(lesions.signs[:, 4], (num_of(lesions.cotton_wool) > 0).float())
    assert torch.equal(lesions.signs[:, 2], (num_of(lesions.haemorrhages) > 0).float())
    shares = lesions.signs.mean(dim=0)
    assert shares[[0, 3, 4]].tolist() == pytest.approx([0.5, 0.35, 0.15], abs=0.08)


def test_red_lesions_darken_and_pale_ones_brighten():
    image, lesions = disc(SOME), drawn()
    painted = paint_lesions(image, lesions)
    only_red = (lesions.signs[:, 0] > 0) & ~lesions.signs[:, 3:].any(dim=1)
    only_pale = (lesions.signs[:, 0] == 0) & lesions.signs[:, 3:].any(dim=1)
    assert (painted[only_red] <= image[only_red]).all()
    assert (painted[only_pale] >= image[only_pale]).all()
    lost = (image - painted)[only_red].sum(dim=(0, 2, 3))
    assert lost[1] > lost[2] > lost[0]  # blood takes green, then blue, and least of red


def test_nothing_is_painted_outside_the_retina():
    image = disc(SOME)
    is_black = image == 0
    assert (paint_lesions(image, drawn())[is_black] == 0).all()


def test_a_picture_without_a_retina_stays_black():
    image = torch.zeros(SOME, 3, 32, 32)
    assert torch.equal(paint_lesions(image, drawn()), image)


def test_an_image_has_its_lesions_whoever_is_in_the_batch_with_it():
    """So that parts of a batch can go through the network one after the other."""
    image, lesions = disc(8) + 0.1 * torch.rand(8, 3, 1, 1), drawn(8, seed=3)
    whole = paint_lesions(image, lesions)
    for row in range(8):
        assert torch.allclose(paint_lesions(image[row : row + 1], only(lesions, row)), whole[row : row + 1], atol=1e-6)


def only(lesions: DrawnLesions, row: int) -> DrawnLesions:
    def part(blobs: Blobs) -> Blobs:
        chosen = blobs.image == row
        values = {name: getattr(blobs, name)[chosen] for name in Blobs.__slots__}
        return Blobs(**{**values, "image": torch.zeros(int(chosen.sum()), dtype=torch.int64)})

    rows = slice(row, row + 1)
    return DrawnLesions(
        microaneurysms=part(lesions.microaneurysms),
        haemorrhages=part(lesions.haemorrhages),
        exudates=part(lesions.exudates),
        cotton_wool=part(lesions.cotton_wool),
        blood=lesions.blood[rows],
        exudate=lesions.exudate[rows],
        wool=lesions.wool[rows],
        signs=lesions.signs[rows],
    )


def test_lesions_are_as_large_in_a_larger_picture():
    """Their area is the same share of the picture at any side."""
    lesions = drawn(32, seed=1)
    shares = [(paint_lesions(disc(32, side), lesions) - disc(32, side)).abs().mean().item() for side in (96, 192)]
    assert shares[0] == pytest.approx(shares[1], rel=0.1)


def test_lesions_lie_evenly_over_the_retina_and_not_at_its_edge():
    image = disc(SOME)
    weight = (paint_lesions(image, drawn()) - image).abs().sum(dim=(0, 1)).numpy()
    place = (np.arange(SIDE_PX) + 0.5) / SIDE_PX - 0.5
    may_lie = minimum_filter(image[0, 0].numpy() > 0, size=2 * round(SIDE_PX / 24) + 1)
    assert weight[~may_lie].sum() == 0
    for half in (np.hypot(place[:, None], place) < 0.3, place < 0, place[:, None] < 0):
        expected = (may_lie & half).sum() / may_lie.sum()
        assert weight[np.broadcast_to(half, weight.shape)].sum() / weight.sum() == pytest.approx(expected, abs=0.05)


def test_the_same_seed_draws_the_same_lesions_and_another_one_others():
    first, again, other = (paint_lesions(disc(4), drawn(4, seed)) for seed in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_images_are_no_error():
    assert paint_lesions(disc(NONE), drawn(NONE)).shape == (0, 3, SIDE_PX, SIDE_PX)
