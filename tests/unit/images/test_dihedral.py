"""The views are the square's symmetries, each once, and every prefix is a group."""

import pytest
import torch

from raydr.images.dihedral import dihedral_views

PICTURE = torch.arange(2 * 3 * 5 * 5).view(2, 3, 5, 5)


@pytest.mark.parametrize("num_views", [1, 2, 4, 8])
def test_as_many_different_views_as_asked_for_the_picture_first(num_views):
    views = dihedral_views(PICTURE, num_views)
    assert len({tuple(view.flatten().tolist()) for view in views}) == len(views) == num_views
    assert torch.equal(views[0], PICTURE)


def test_the_views_in_their_order():
    views = dihedral_views(PICTURE, 8)
    expected = [PICTURE, PICTURE.flip(-1), PICTURE.flip(-2), torch.rot90(PICTURE, 2, dims=(-2, -1))]
    for view, other in zip(views[:4], expected, strict=True):
        assert torch.equal(view, other)
    quarter_turns = [torch.rot90(PICTURE, turns, dims=(-2, -1)) for turns in (1, 3)]
    assert all(any(torch.equal(view, turn) for view in views[4:]) for turn in quarter_turns)


@pytest.mark.parametrize("num_views", [1, 2, 4, 8])
def test_the_mean_over_views_does_not_depend_on_how_the_picture_lay(num_views):
    weight = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(0))

    def mean_score(image: torch.Tensor) -> torch.Tensor:
        views = dihedral_views(image, num_views)
        return torch.stack([(view * weight).sum(dim=(1, 2, 3)) for view in views]).mean(dim=0)

    expected = mean_score(PICTURE)
    for laid in dihedral_views(PICTURE, num_views):
        torch.testing.assert_close(mean_score(laid), expected)


def test_other_numbers_and_oblong_pictures_are_refused():
    with pytest.raises(ValueError, match="1, 2, 4 or 8"):
        dihedral_views(PICTURE, 3)
    with pytest.raises(ValueError, match=r"\[B, C, S, S\]"):
        dihedral_views(torch.zeros(1, 3, 4, 5), 2)
