"""The presets as a whole: repeatable, independent, within [0, 1], black around the retina, and the right strength."""

import pytest
import torch

from raydr.images import augment
from raydr.images.augment import apply_view, augmentation

PRESETS = ("none", "weak", "weak_medium", "strong", "paper", "paper_crop", "paper_colour")
RANDOM_PRESETS = PRESETS[1:]


def fundus(count: int = 6, side: int = 48) -> torch.Tensor:
    """Bright, textured discs on black."""
    place = (torch.arange(side) + 0.5) / side * 2 - 1
    is_retina = place[:, None] ** 2 + place**2 < 0.95**2
    texture = torch.randint(60, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0))
    return (texture * is_retina).to(torch.uint8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_view_is_float_in_0_to_1_and_leaves_the_images_alone(preset):
    image = fundus()
    before = image.clone()
    view = augmentation(preset)(image, seeded())
    assert view.dtype == torch.float32
    assert view.shape == image.shape
    assert view.min() >= 0
    assert view.max() <= 1
    assert torch.equal(image, before)


def test_none_is_the_picture():
    image = fundus()
    assert torch.equal(augmentation("none")(image, seeded()), image / 255)


@pytest.mark.parametrize("preset", RANDOM_PRESETS)
def test_the_same_seed_gives_the_same_views_and_another_seed_others(preset):
    image, augmented = fundus(), augmentation(preset)
    assert torch.equal(augmented(image, seeded()), augmented(image, seeded()))
    assert not torch.equal(augmented(image, seeded()), augmented(image, seeded(1)))
    generator = seeded()
    assert not torch.equal(augmented(image, generator), augmented(image, generator))


@pytest.mark.parametrize("preset", RANDOM_PRESETS)
def test_one_picture_gets_a_different_view_in_every_row(preset):
    views = augmentation(preset)(fundus(1).expand(8, -1, -1, -1), seeded())
    differences = [(views[a] - views[b]).abs().mean() for a in range(8) for b in range(a)]
    assert min(differences) > 0.01


@pytest.mark.parametrize("preset", RANDOM_PRESETS)
def test_a_view_does_not_depend_on_its_neighbours_in_the_batch(preset):
    image, parameters = fundus(), augmentation(preset).draw(6, seeded())
    others = image.clone()
    others[:3] = 255 - others[:3]
    assert torch.equal(apply_view(image, parameters)[3:], apply_view(others, parameters)[3:])


@pytest.mark.parametrize("preset", PRESETS)
def test_working_in_chunks_changes_nothing(preset, monkeypatch):
    image, parameters = fundus(), augmentation(preset).draw(6, seeded())
    monkeypatch.setattr(augment, "_CHUNK_CELLS", 10**9)
    whole = apply_view(image, parameters)
    monkeypatch.setattr(augment, "_CHUNK_CELLS", 2 * image[0].numel())
    torch.testing.assert_close(apply_view(image, parameters), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("preset", ["weak", "weak_medium", "strong"])
def test_no_light_appears_where_turning_leaves_the_picture(preset):
    # The disc fills the square: whatever lies outside the picture or its disc must be black in every view.
    augmented = augmentation(preset)
    parameters = augmented.draw(64, seeded())
    image = fundus(1).expand(64, -1, -1, -1)
    view = apply_view(image, parameters)
    inside = torch.where(image.amax(dim=1, keepdim=True) > 0, 255, 0).to(torch.uint8).expand_as(image)
    geometry = augment.ViewParameters(warp=parameters.warp)
    is_outside = apply_view(inside, geometry)[:, :1] == 0
    is_outside = torch.nn.functional.max_pool2d((~is_outside).float(), 5, stride=1, padding=2) == 0  # blur's reach
    assert is_outside.any()
    assert view[is_outside.expand_as(view)].max() < 1e-4


@pytest.mark.parametrize("preset", RANDOM_PRESETS)
def test_colours_of_a_flat_picture_depend_on_no_place(preset):
    view = augmentation(preset)(torch.full((16, 3, 32, 32), 120, dtype=torch.uint8), seeded())
    middle = view[:, :, 12:20, 12:20]
    is_uncut = middle.amin(dim=(1, 2, 3)) > 0
    assert is_uncut.float().mean() > 0.5
    assert (middle[is_uncut] - middle[is_uncut][:, :, :1, :1]).abs().max() < 1e-3


def test_stronger_presets_change_more():
    image = fundus(1, 64).expand(64, -1, -1, -1)
    smooth = torch.nn.functional.avg_pool2d(image.float(), 9, stride=1, padding=4).to(torch.uint8)
    change = {
        preset: (augmentation(preset)(smooth, seeded()) - smooth / 255).abs().mean().item()
        for preset in ("none", "weak", "weak_medium", "strong")
    }
    assert change["none"] == 0
    assert 0 < change["weak"] < change["weak_medium"] < change["strong"]


def test_the_papers_views_are_never_turned_and_always_blurred():
    parameters = augmentation("paper").draw(500, seeded())
    assert (parameters.warp.rotation_deg == 0).all()
    assert (parameters.warp.mirror_y == 1).all()
    assert (parameters.blur_sigma > 0).all()
    assert parameters.blur_sigma.max() * 224 <= 2 + 1e-4


def test_few_views_of_the_default_are_blurred():
    sigma = augmentation("weak_medium").draw(4000, seeded()).blur_sigma
    assert 0.08 < (sigma > 0).float().mean() < 0.12
    assert sigma.max() * 512 <= 0.5


def test_blurring_white_does_not_exceed_white():
    sigma = torch.linspace(0.005, 0.04, 32)
    view = apply_view(torch.full((32, 3, 48, 48), 255, dtype=torch.uint8), augment.ViewParameters(blur_sigma=sigma))
    assert view.max() <= 1
    assert view.min() > 1 - 1e-5


def test_autocast_does_not_coarsen_a_view():
    image, parameters = fundus(), augmentation("strong").draw(6, seeded())
    expected = apply_view(image, parameters)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(apply_view(image, parameters), expected)


def test_an_empty_batch_stays_empty():
    assert augmentation("strong")(fundus()[:0], seeded()).shape == (0, 3, 48, 48)


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 3, 8, 9, dtype=torch.uint8),
    ],
)
def test_anything_but_square_8_bit_colour_is_refused(image):
    with pytest.raises(ValueError, match=r"uint8 \[B, 3, S, S\]"):
        augmentation("weak")(image, seeded())


def test_an_unknown_preset_is_refused_with_the_names():
    with pytest.raises(ValueError, match="none, weak, weak_medium, strong, paper"):
        augmentation("extreme")


@pytest.mark.parametrize("preset", PRESETS)
def test_crops_have_their_own_side_and_are_like_any_other_view(preset):
    image, crop = fundus(side=56), augmentation(preset).cropped(area=(0.05, 0.4), side_px=24)
    view = crop(image, seeded())
    assert view.shape == (6, 3, 24, 24)
    assert view.dtype == torch.float32
    assert view.min() >= 0
    assert view.max() <= 1
    assert torch.equal(view, crop(image, seeded()))


def test_a_crop_does_not_depend_on_how_many_lie_beside_it():
    image, crop = fundus(5, side=160), augmentation("weak_medium").cropped(area=(0.05, 0.4), side_px=32)
    parameters, sampling = crop.draw(5, seeded()), augment.Sampling(32, 4)
    together = apply_view(image, parameters, sampling)
    for row in range(5):
        one = augment._rows(parameters, slice(row, row + 1))
        torch.testing.assert_close(together[row : row + 1], apply_view(image[row : row + 1], one, sampling))


def test_a_crop_shows_less_of_the_picture_than_a_view():
    """Of a picture that is bright in one quarter only, many small windows see nothing and few whole ones."""
    image = torch.zeros(200, 3, 48, 48, dtype=torch.uint8)
    image[:, :, :24, :24] = 255
    whole = augmentation("weak")(image, seeded()).amax(dim=(1, 2, 3))
    crops = augmentation("weak").cropped(area=(0.05, 0.2), side_px=16)(image, seeded()).amax(dim=(1, 2, 3))
    assert (whole == 0).float().mean() < 0.02
    assert (crops == 0).float().mean() > 0.3


@pytest.mark.parametrize("area", [(0.0, 0.5), (0.5, 0.4), (0.5, 1.5)])
def test_crops_larger_than_the_picture_or_empty_are_refused(area):
    with pytest.raises(ValueError, match="shares of the picture"):
        augmentation("weak").cropped(area=area, side_px=16)
