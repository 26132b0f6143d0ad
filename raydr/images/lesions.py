"""Made-up lesions of diabetic retinopathy, painted into photographs: red lesions, exudates, cotton wool.

To find lesions that were painted in is a task that needs no labels, as in CutPaste (arXiv:2104.04015), whose
patches are of no kind. Sizes are in shares of the picture's side and follow the lesions' own: a microaneurysm is 50 to
100 um where a picture of 45 degrees shows 12 mm.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from raydr.images.transfer import onto, sent

SIGNS: Final = ("red lesions", "many red lesions", "haemorrhages", "exudates", "cotton wool")
"""What is told of every image, in the order of `DrawnLesions.signs`."""
_MANY: Final = 6
_UNIT: Final = 1 / 192  # about 60 um of retina
_DARK: Final = 0.08  # a pixel whose mean is below this is no retina
_EDGE: Final = 1 / 24  # of the side: lesions keep so far from the edge of the field of view
_WAVES: Final = 4  # about a lesion's outline
_Uniform = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Blobs:
    """N lesions of one kind: rough ellipses. All lengths are shares of the picture's side."""

    image: Tensor
    """[N] int64, whose they are."""
    place: Tensor
    """[N] the share of the field of view, row by row, that lies before it: a uniform one is anywhere in it."""
    shift: Tensor
    """[N, 2] down and right of there."""
    radius: Tensor
    stretch: Tensor
    """[N] how much longer than wide."""
    angle: Tensor
    roughness: Tensor
    """[N, waves] of the outline, shares of the radius."""
    phase: Tensor
    softness: Tensor
    """[N] width of the edge."""
    strength: Tensor
    """[N] in [0, 1]."""


@dataclass(frozen=True, slots=True)
class DrawnLesions:
    """The lesions of B images, on the generator's device."""

    microaneurysms: Blobs
    haemorrhages: Blobs
    exudates: Blobs
    cotton_wool: Blobs
    blood: Tensor
    """[B, 3] what a red lesion takes of red, green and blue."""
    exudate: Tensor
    """[B, 4] red, green, blue of exudates, and how much they cover."""
    wool: Tensor
    """[B, 4] the same of cotton wool."""
    signs: Tensor
    """[B, 5] 1 where an image was given one of `SIGNS`, else 0; what falls outside the retina is not painted."""


def draw_lesions(count: int, generator: torch.Generator) -> DrawnLesions:
    """Independent lesions for ``count`` images: half of them have red ones, a third exudates, a seventh cotton wool."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device)

    def number(low: float, high: float, power: float, has: Tensor) -> Tensor:
        return torch.where(has, low + (high - low) * uniform(count) ** power, 0).long()

    has_red, has_exudates, has_wool = uniform(count) < 0.5, uniform(count) < 0.35, uniform(count) < 0.15
    dots, blots = number(1, 19, 2, has_red), number(0, 8, 2, has_red)
    heaps, wool = number(1, 4, 1.5, has_exudates), number(1, 4, 1, has_wool)
    return DrawnLesions(
        microaneurysms=_blobs(dots, uniform, radius=(0.8, 2.0, 1), stretch=0.3, roughness=0.15, softness=(0.8, 0.8)),
        haemorrhages=_blobs(blots, uniform, radius=(1.5, 5.0, 2), stretch=1.2, roughness=0.25, softness=(0.8, 1.8)),
        exudates=_heaped(heaps, uniform, generator),
        cotton_wool=_blobs(wool, uniform, radius=(3.0, 7.0, 1), stretch=0.6, roughness=0.35, softness=(2.0, 4.0)),
        blood=(0.35 + 0.5 * uniform(count, 1))
        * torch.stack([0.45 + 0.45 * uniform(count), 0.9 + 0.1 * uniform(count), 0.75 + 0.25 * uniform(count)], dim=1),
        exudate=_tone(uniform(count, 1), uniform(count, 1), (1.0, 0.97, 0.75), (0.05, 0.075, 0.25), (0.5, 1.0)),
        wool=_tone(uniform(count, 1), uniform(count, 1), (1.0, 1.0, 0.95), (0.0, 0.0, 0.0), (0.35, 0.8)),
        signs=torch.stack([dots + blots > 0, dots + blots >= _MANY, blots > 0, heaps > 0, wool > 0], dim=1).float(),
    )


def paint_lesions(image: Tensor, lesions: DrawnLesions) -> Tensor:
    """Images float [B, 3, S, S] in [0, 1] with their lesions, which lie in the field of view.

    Red lesions take light away in proportion, as blood does; exudates and cotton wool cover what is under them.
    """
    retina = _field_of_view(image)
    # All images' pixels in one line: how much retina there is up to each.
    reached = retina.flatten().long().cumsum(dim=0)
    dots, blots = (_coverage(blobs, retina, reached) for blobs in (lesions.microaneurysms, lesions.haemorrhages))
    depth = torch.maximum(dots, blots)
    image = image * (1 - onto(lesions.blood, image)[:, :, None, None] * depth)
    for blobs, tone in ((lesions.exudates, lesions.exudate), (lesions.cotton_wool, lesions.wool)):
        colour = onto(tone, image)[:, :, None, None]
        image = image + colour[:, 3:] * _coverage(blobs, retina, reached) * (colour[:, :3] - image)
    return image.clamp(0, 1)


def _blobs(
    counts: Tensor,
    uniform: _Uniform,
    *,
    radius: tuple[float, float, float],
    stretch: float,
    roughness: float,
    softness: tuple[float, float],
) -> Blobs:
    """``counts`` [B] blobs; radius and softness in units of 1/192 of the side, the radius to a power of chance."""
    image = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    number = len(image)
    low, high, power = radius
    return Blobs(
        image=image,
        place=uniform(number),
        shift=torch.zeros(number, 2, device=counts.device),
        radius=_UNIT * (low + (high - low) * uniform(number) ** power),
        stretch=1 + stretch * uniform(number),
        angle=torch.pi * uniform(number),
        roughness=roughness * (2 * uniform(number, _WAVES) - 1),
        phase=2 * torch.pi * uniform(number, _WAVES),
        softness=_UNIT * (softness[0] + (softness[1] - softness[0]) * uniform(number)),
        strength=0.5 + 0.5 * uniform(number),
    )


def _heaped(heaps: Tensor, uniform: _Uniform, generator: torch.Generator) -> Blobs:
    """Hard exudates: small sharp deposits, 4 to 30 in a heap."""
    middles = _blobs(heaps, uniform, radius=(3.0, 11.0, 1), stretch=0.0, roughness=0.0, softness=(1.0, 1.0))
    sizes = (4 + 26 * uniform(len(middles.image))).long()
    heap = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
    counts = torch.zeros_like(heaps).index_add_(0, middles.image, sizes)
    deposits = _blobs(counts, uniform, radius=(0.6, 2.0, 2), stretch=0.8, roughness=0.35, softness=(0.7, 0.7))
    away = torch.randn(len(heap), 2, generator=generator, device=generator.device)
    values = {field.name: getattr(deposits, field.name) for field in fields(Blobs)}
    return Blobs(**{**values, "place": middles.place[heap], "shift": away * middles.radius[heap][:, None]})


def _tone(
    hue: Tensor,
    cover: Tensor,
    colour: tuple[float, float, float],
    spread: tuple[float, float, float],
    covers: tuple[float, float],
) -> Tensor:
    mean, range_ = torch.tensor(colour, device=hue.device), torch.tensor(spread, device=hue.device)
    return torch.cat([mean - range_ * hue, covers[0] + (covers[1] - covers[0]) * cover], dim=1)


def _field_of_view(image: Tensor) -> Tensor:
    """1 where the retina shows and its edge is not near, else 0, [B, 1, S, S]."""
    shows = (image.mean(dim=1, keepdim=True) > _DARK).to(image.dtype)
    reach = max(1, round(_EDGE * image.shape[-1]))
    return -F.max_pool2d(-shows, 2 * reach + 1, stride=1, padding=reach)


def _coverage(blobs: Blobs, retina: Tensor, reached: Tensor) -> Tensor:
    """How far each pixel [B, 1, S, S] is covered by blobs, in [0, 1]: the strongest one counts."""
    batch, _, side, _ = retina.shape
    covered = retina.new_zeros(batch * side * side)
    if not len(blobs.image):
        return covered.view(retina.shape)
    owner = sent(blobs.image, retina.device)
    rows, columns = _middles(blobs, owner, retina, reached)
    # A square of pixels about each blob; its side is known where the blobs were drawn, so that no GPU waits for it.
    reach = (1 + blobs.roughness.abs().sum(dim=1)) * blobs.radius * blobs.stretch + 2 * blobs.softness
    half = int(reach.max() * side) + 2
    step = torch.arange(-half, half + 1, device=retina.device)
    y, x = rows.floor().long()[:, None] + step, columns.floor().long()[:, None] + step
    down, right = y + 0.5 - rows[:, None], x + 0.5 - columns[:, None]
    cover = _shape(blobs, down[:, :, None] / side, right[:, None, :] / side)
    is_inside = ((y >= 0) & (y < side))[:, :, None] & ((x >= 0) & (x < side))[:, None, :]
    place = (owner[:, None, None] * side + y.clamp(0, side - 1)[:, :, None]) * side + x.clamp(0, side - 1)[:, None, :]
    covered = covered.scatter_reduce(0, place.flatten(), (cover * is_inside).flatten(), "amax")
    return covered.view(retina.shape) * retina


def _middles(blobs: Blobs, owner: Tensor, retina: Tensor, reached: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of each blob's middle in pixels."""
    side = retina.shape[-1]
    ends = reached[side * side - 1 :: side * side]
    starts = F.pad(ends[:-1], (1, 0))
    wanted = starts[owner] + (onto(blobs.place, retina) * (ends - starts)[owner]).long()
    pixel = torch.searchsorted(reached, wanted, right=True) - owner * side * side
    pixel = pixel.clamp(0, side * side - 1)  # of an image without a retina, where nothing is painted
    shift = onto(blobs.shift, retina) * side
    return pixel // side + 0.5 + shift[:, 0], pixel % side + 0.5 + shift[:, 1]


def _shape(blobs: Blobs, down: Tensor, right: Tensor) -> Tensor:
    """How far each place [N, P, P], ``down`` and ``right`` of the blob's middle, is covered by it."""

    def of(value: Tensor) -> Tensor:
        return onto(value, down)[:, None, None]

    cosine, sine = of(blobs.angle.cos()), of(blobs.angle.sin())
    along, across = (cosine * right + sine * down) / of(blobs.stretch), cosine * down - sine * right
    direction = torch.atan2(across, along)
    outline = torch.ones_like(direction)
    for wave in range(_WAVES):
        outline += of(blobs.roughness[:, wave]) * torch.sin((wave + 2) * direction + of(blobs.phase[:, wave]))
    within = of(blobs.radius) * outline - (along.square() + across.square()).sqrt()
    return of(blobs.strength) * torch.sigmoid(2 * within / of(blobs.softness))
