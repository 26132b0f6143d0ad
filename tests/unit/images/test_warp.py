"""One warp against torchvision's separate steps with the same parameters, and what is drawn."""

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from raydr.images.warp import Warp, WarpRanges, apply_warp, draw_warp, samples_needed


def smooth_picture(side: int = 64, count: int = 2) -> torch.Tensor:
    """Waves without symmetry: a flip or turn to the wrong side shows, an interpolation's rounding does not."""
    y, x = torch.meshgrid(torch.linspace(0, 3, side), torch.linspace(0, 3, side), indexing="ij")
    waves = [torch.sin(x * (c + 1) + 0.5 * y * (n + 1) + c) * 0.4 + 0.5 for n in range(count) for c in range(3)]
    return torch.stack(waves).view(count, 3, side, side)


def warp_of(count: int = 2, **changes: float | list[float]) -> Warp:
    neutral = {
        "width": 1.0,
        "height": 1.0,
        "center_x": 0.0,
        "center_y": 0.0,
        "rotation_deg": 0.0,
        "mirror_x": 1.0,
        "mirror_y": 1.0,
    }
    return Warp(**{name: torch.as_tensor(value).expand(count) for name, value in {**neutral, **changes}.items()})


def test_the_neutral_warp_is_the_picture():
    image = torch.rand(2, 3, 33, 33)
    torch.testing.assert_close(apply_warp(image, warp_of()), image, atol=1e-5, rtol=0)


def test_mirrors_are_flips():
    image = torch.rand(2, 3, 40, 40)
    torch.testing.assert_close(apply_warp(image, warp_of(mirror_x=-1.0)), image.flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(apply_warp(image, warp_of(mirror_y=-1.0)), image.flip(-2), atol=1e-5, rtol=0)


def test_a_quarter_turn_is_exact_and_counter_clockwise():
    image = torch.rand(2, 3, 40, 40)
    turned = apply_warp(image, warp_of(rotation_deg=90.0))
    torch.testing.assert_close(turned, torch.rot90(image, dims=(-2, -1)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("rotation_deg", [-130.0, 17.0, 45.0])
def test_rotation_is_torchvisions(rotation_deg):
    image = smooth_picture()
    expected = tv.rotate(image, rotation_deg, interpolation=InterpolationMode.BILINEAR)
    difference = (apply_warp(image, warp_of(rotation_deg=rotation_deg)) - expected).abs()
    # Along the picture's slanted edge torchvision blends with black by another rule.
    assert difference.mean() < 0.01
    assert (difference > 0.01).float().mean() < 0.06
    assert difference[:, :, 16:48, 16:48].max() < 1e-4


def test_a_window_is_torchvisions_resized_crop():
    image = smooth_picture()
    # A window 48 wide and 32 high whose upper left corner is at (8, 24).
    warp = warp_of(width=0.75, height=0.5, center_x=(8 + 24) / 32 - 1, center_y=(24 + 16) / 32 - 1)
    expected = tv.resized_crop(image, 24, 8, 32, 48, [64, 64], antialias=False)
    # At its edge a crop repeats its last pixel where the warp sees the picture's next.
    torch.testing.assert_close(apply_warp(image, warp)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-4, rtol=0)


def test_turns_first_then_cuts_then_mirrors():
    image = smooth_picture(128)
    warp = warp_of(width=0.5, height=0.5, center_x=0.25, center_y=-0.125, rotation_deg=30.0, mirror_x=-1.0)
    turned = tv.rotate(image, 30.0, interpolation=InterpolationMode.BILINEAR)
    expected = tv.resized_crop(turned, 24, 48, 64, 64, [128, 128], antialias=False).flip(-1)
    torch.testing.assert_close(apply_warp(image, warp)[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], atol=5e-3, rtol=0)


def test_outside_the_picture_is_black():
    view = apply_warp(torch.ones(2, 3, 64, 64), warp_of(width=2.0, height=2.0))
    torch.testing.assert_close(view[:, :, 18:46, 18:46], torch.ones(2, 3, 28, 28))
    assert view[:, :, :14].max() == 0
    assert view[:, :, :, 50:].max() == 0


def test_each_image_follows_its_own_parameters():
    image = torch.rand(2, 3, 40, 40)
    warped = apply_warp(image, warp_of(mirror_x=[1.0, -1.0], rotation_deg=[0.0, 180.0]))
    torch.testing.assert_close(warped[0], image[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(warped[1], image[1].flip(-2), atol=1e-4, rtol=0)


def test_drawn_windows_keep_to_their_ranges_and_to_the_picture():
    ranges = WarpRanges(area=(0.08, 1), aspect=(3 / 4, 4 / 3), max_rotation_deg=20, horizontal_flip=0.5)
    warp = draw_warp(ranges, 4000, torch.Generator().manual_seed(0))
    area, aspect = warp.width * warp.height, warp.width / warp.height
    assert 0.08 <= area.min() < 0.1
    assert 0.9 < area.max() <= 1
    assert 0.74 < aspect.min() < 0.78
    assert 1.29 < aspect.max() < 1.34
    assert (warp.center_x.abs() + warp.width).max() <= 1 + 1e-6
    assert (warp.center_y.abs() + warp.height).max() <= 1 + 1e-6
    assert 19 < warp.rotation_deg.abs().max() <= 20
    assert 0.45 < (warp.mirror_x < 0).float().mean() < 0.55
    assert (warp.mirror_y == 1).all()


def test_zooming_out_keeps_the_whole_picture_in_the_window():
    warp = draw_warp(WarpRanges(area=(1.0, 1.3)), 500, torch.Generator().manual_seed(1))
    assert warp.width.max() > 1.1
    assert ((warp.width - warp.center_x.abs()) >= 1 - 1e-6).all()


def test_windows_that_keep_to_the_disc_show_more_of_it():
    """A retina is a disc: of a square window in a corner a good part is black."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    disc = ((x.square() + y.square()) <= 1).float().expand(400, 1, 65, 65)
    shown = {}
    for in_disc in (False, True):
        ranges = WarpRanges(area=(0.2, 0.4), max_rotation_deg=180, in_disc=in_disc)
        warp = draw_warp(ranges, 400, torch.Generator().manual_seed(0))
        shown[in_disc] = apply_warp(disc, warp).mean(dim=(1, 2, 3))
        reach = torch.hypot(warp.center_x / (1 - warp.width), warp.center_y / (1 - warp.height))
        assert 0.95 < float(reach.max()) <= (1 + 1e-5 if in_disc else 2**0.5)
    assert 1 - shown[True].mean() < 0.75 * (1 - shown[False].mean())
    assert shown[True].min() > shown[False].min() + 0.05


def stripes(side: int, period_px: int) -> torch.Tensor:
    """Black and white columns, and the mean of both is 0.5."""
    column = (torch.arange(side) // (period_px // 2) % 2).float()
    return column.expand(1, 3, side, side)


def test_a_view_may_have_another_side_than_the_picture():
    image = smooth_picture(96)
    view = apply_warp(image, warp_of(), side_px=32, samples=3)
    torch.testing.assert_close(view, torch.nn.functional.avg_pool2d(image, 3), atol=1e-5, rtol=0)


def test_enough_samples_keep_a_shrunk_picture_from_aliasing():
    """Stripes too fine for the view become grey; with one point a pixel they become false, broad stripes."""
    image, warp = stripes(96, 2), warp_of(1)
    samples = samples_needed(WarpRanges(), of_px=96, to_px=43)
    grey = apply_warp(image, warp, side_px=43, samples=samples)
    aliased = apply_warp(image, warp, side_px=43, samples=1)
    assert samples == 3
    assert (grey - 0.5)[..., 1:-1, 1:-1].abs().max() < 0.3
    assert grey.std() < 0.5 * aliased.std()


@pytest.mark.parametrize(
    ("area", "aspect", "to_px", "samples"),
    [((0.05, 0.4), (1.0, 1.0), 96, 2), ((0.05, 0.4), (1.0, 1.0), 224, 1), ((0.4, 1.0), (0.9, 1.1), 224, 1),
     ((0.4, 1.0), (1.0, 1.0), 112, 2), ((1.0, 1.21), (1.0, 1.0), 224, 2), ((0.05, 0.18), (1.0, 1.0), 96, 1)],
)  # fmt: skip
def test_samples_go_by_the_largest_window(area, aspect, to_px, samples):
    assert samples_needed(WarpRanges(area=area, aspect=aspect), of_px=224, to_px=to_px) == samples
