"""MAE's loss against the same written out patch by patch."""

import pytest
import torch

from raydr.losses.reconstruction import masked_error, patches, standardised


def test_patches_lie_row_by_row_with_the_channels_last():
    image = torch.arange(2 * 3 * 6 * 6).view(2, 3, 6, 6)
    found = patches(image, side_px=2)
    assert found.shape == (2, 9, 12)
    for place in range(9):
        row, column = 2 * (place // 3), 2 * (place % 3)
        window = image[1, :, row : row + 2, column : column + 2]
        assert found[1, place].tolist() == window.permute(1, 2, 0).flatten().tolist()


def test_the_error_is_the_mean_over_the_hidden_patches_written_out():
    draw = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 4, 3, generator=draw), torch.rand(2, 4, 3, generator=draw)
    is_hidden = torch.tensor([[True, True, False, True], [False, True, True, True]])
    terms = []
    for image, place in is_hidden.nonzero().tolist():
        pixels = target[image, place]
        mean = sum(pixels.tolist()) / 3
        deviation = (sum((value - mean) ** 2 for value in pixels.tolist()) / 2 + 1e-6) ** 0.5
        terms += [
            (told - (value - mean) / deviation) ** 2
            for told, value in zip(prediction[image, place].tolist(), pixels.tolist(), strict=True)
        ]
    loss = masked_error(prediction, standardised(target), is_hidden)
    assert loss.item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_visible_patches_have_no_part_in_it():
    prediction = torch.zeros(1, 2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        masked_error(prediction, torch.ones(1, 2, 3), torch.tensor([[True, False]])), prediction
    )
    assert gradient[0, 0].abs().min() > 0
    assert gradient[0, 1].abs().max() == 0


def test_a_patch_of_one_colour_is_no_division_by_nothing():
    assert standardised(torch.full((1, 1, 4), 0.3)).abs().max() < 1e-3


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        patches(torch.zeros(1, 3, 6, 6), side_px=4)
    with pytest.raises(ValueError, match=r"\[B, N\]"):
        masked_error(torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), torch.zeros(1, 3, dtype=torch.bool))
