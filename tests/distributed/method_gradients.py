"""What both ranks do in the tests of whole methods over workers; a module of its own, so that processes can import it.

Another method is one more entry of ``METHODS``, by its name unless its settings say that, and of ``MOMENTUM_METHODS``
if it has a network that follows.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from pydantic import TypeAdapter
from torch.nn.modules.batchnorm import _BatchNorm

from raydr.build import build_method
from raydr.config.learning import ModelSettings
from raydr.config.methods import MethodSettings
from raydr.engine.accumulation import Passes, backward
from raydr.engine.batch import Batch
from raydr.engine.context import LocalContext
from raydr.engine.method import Method
from raydr.engine.step import View
from raydr.engine.steps import lesions, mae
from raydr.images.lesions import Blobs, DrawnLesions, draw_lesions
from raydr.models.momentum import MomentumNetwork

METHODS = {
    "simclr": {"hidden_dim": 16, "projection_dim": 8, "temperature": 0.3},
    "simclr_memory": {
        "name": "simclr",
        "hidden_dim": 16,
        "projection_dim": 8,
        "temperature": 0.3,
        "memory_size": 40,
        "memory_momentum": 0.5,
    },
    "byol": {"hidden_dim": 16, "projection_dim": 8, "momentum": 0.5},
    "moco_v3": {"hidden_dim": 16, "projection_dim": 8, "temperature": 0.3, "momentum": 0.5},
    "vicreg": {"hidden_dim": 16, "projection_dim": 8},
    "dino": {
        "hidden_dim": 16,
        "bottleneck_dim": 8,
        "num_prototypes": 12,
        "num_local_views": 2,
        "local_side_px": 16,
        "frozen_fraction": 0.0,
        "momentum": 0.5,
    },
    "mae": {"decoder_dim": 32, "decoder_depth": 1, "hidden_fraction": 0.5},
    "lesions": {},
}
MOMENTUM_METHODS = ("simclr_memory", "byol", "moco_v3", "dino")
SHUFFLING_METHODS = ("byol", "moco_v3")
LEARNING_RATES = dict.fromkeys(MOMENTUM_METHODS, 0.5) | {"dino": 5.0}
BACKBONES = dict.fromkeys(METHODS, "test_resnet") | {"mae": "test_vit"}
WITHOUT_BATCH_NORM = ("mae",)
WITHOUT_SECOND_VIEW = ("mae", "lesions")
NUM_IMAGES, SIDE_PX = 16, 32
OF_RANK = ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
"""Images of each rank: its first half and the other's are the first half of the whole batch, so pieces match too."""


@dataclass(frozen=True, slots=True)
class Case:
    """A method, whose batch statistics it takes, and how a batch goes through it.

    `fixed` takes none at all, and neither does `shuffled`, where only the exchange of the target's views is tried.
    """

    method: str
    batch_norm: str
    in_pieces: bool = False
    detached: bool = False
    twins: bool = False
    """Second views are of another image."""


CASES = [
    Case(method, batch_norm, in_pieces)
    for method in METHODS
    for batch_norm in ("fixed", "synced", "local")
    for in_pieces in (False, True)
]
CASES += [Case(method, "shuffled", in_pieces) for method in SHUFFLING_METHODS for in_pieces in (False, True)]
CASES += [
    Case(method, "synced", in_pieces, twins=True)
    for method in METHODS
    if method not in WITHOUT_SECOND_VIEW
    for in_pieces in (False, True)
]
DETACHED = Case("simclr", "synced", detached=True)


class TwoViews:
    """The picture, then the picture mirrored and paler: no randomness, so that ranks and one process see the same."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, image: torch.Tensor, _generator: torch.Generator) -> torch.Tensor:
        self.calls += 1
        picture = image.float() / 255
        return picture if self.calls % 2 else picture.flip(-1) * 0.7 + 0.1

    def cropped(self, *, area: tuple[float, float], side_px: int) -> View:
        """The picture's middle."""
        return lambda image, _generator: resize(image.float() / 255, 2 * side_px)[..., 8:-8, 8:-8]


def resize(image: torch.Tensor, side_px: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(image, side_px, mode="bilinear")


def one_order(num_images: int, num_patches: int, _generator: torch.Generator) -> torch.Tensor:
    """MAE's patches in one order for every image, so that ranks and one process hide the same."""
    return torch.randperm(num_patches, generator=torch.Generator().manual_seed(0)).expand(num_images, -1)


def one_drawing(count: int, _generator: torch.Generator) -> DrawnLesions:
    """The same lesions in every image, so that ranks and one process paint the same; half of the signs are true."""
    one = next(drawn for drawn in map(_drawing, range(100)) if drawn.signs[0].tolist() == [1, 0, 1, 1, 0])

    def repeated(blobs: Blobs) -> Blobs:
        values = {field.name: getattr(blobs, field.name).repeat_interleave(count, dim=0) for field in fields(Blobs)}
        return Blobs(**{**values, "image": torch.arange(count).repeat(len(blobs.image))})

    found = {field.name: getattr(one, field.name) for field in fields(DrawnLesions)}
    return DrawnLesions(
        **{k: repeated(v) if isinstance(v, Blobs) else v.repeat_interleave(count, dim=0) for k, v in found.items()}
    )


def _drawing(seed: int) -> DrawnLesions:
    return draw_lesions(1, torch.Generator().manual_seed(seed))


def images() -> torch.Tensor:
    """Blobs of random colour and place: images that differ, as noise after a few pooling layers does not."""
    draw = np.random.default_rng(5)
    coarse = torch.from_numpy(draw.uniform(0, 255, (NUM_IMAGES, 3, 4, 4)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, SIDE_PX, mode="bilinear").to(torch.uint8)


def batch_of(rank: int, world_size: int, whole: Iterable[int] = range(NUM_IMAGES)) -> Batch:
    """A rank's images, or all of them in the order of ``whole``."""
    rows = torch.tensor(OF_RANK[rank] if world_size > 1 else list(whole))
    return Batch(images()[rows], rows, torch.full((len(rows),), -1))


def with_twins(batch: Batch) -> Batch:
    """Each image's twin is the one beside it."""
    return replace(batch, twin=images()[batch.row ^ 1])


def build(case: Case, rank: int, world_size: int) -> Method:
    batch_norm = "local" if case.batch_norm == "fixed" else case.batch_norm
    settings = TypeAdapter(MethodSettings).validate_python(
        {"name": case.method, "batch_norm": batch_norm, **METHODS[case.method]}
    )
    torch.manual_seed(1)
    context = LocalContext(Path(tempfile.gettempdir()), rank=rank, world_size=world_size)
    # Convolutions over channels that lie last sum in another order for another number of images, which batch
    # normalisation over a few of them makes a thousandth of the gradient.
    model = ModelSettings(backbone=BACKBONES[case.method], channels_last=False)
    method = build_method(model, settings, TwoViews(), context)
    method.network.train()
    for layer in method.network.modules():
        if isinstance(layer, _BatchNorm) and layer.affine:
            torch.nn.init.constant_(layer.weight, 0.5)  # some start at 0, and what comes before them without gradient
    if case.batch_norm in ("fixed", "shuffled"):
        _fix_statistics(method.network)
    return method


def _fix_statistics(network: torch.nn.Module) -> None:
    """Batch normalisation as a fixed affine layer: outputs of an image depend on nothing but that image."""
    for layer in network.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()


def passes(case: Case, method: Method, world_size: int) -> Passes:
    size = (NUM_IMAGES // world_size) // 2 if case.in_pieces else None
    return Passes(method.network, no_sync=method.no_sync, images_at_once=size)


def loss_and_gradient(case: Case, rank: int, world_size: int) -> tuple[float, np.ndarray]:
    method = build(case, rank, world_size)
    step = method.step
    if case.detached:
        gather: Callable[[torch.Tensor], torch.Tensor] = step.gather  # type: ignore[attr-defined]
        step = replace(step, gather=lambda local: gather(local).detach())  # type: ignore[type-var]
    generator = torch.Generator().manual_seed(rank)
    batch = batch_of(rank, world_size)
    with mock.patch.object(mae, "random_order", one_order), mock.patch.object(lesions, "draw_lesions", one_drawing):
        loss = backward(step, with_twins(batch) if case.twins else batch, generator, passes(case, method, world_size))
    gradients = [p.grad.flatten() for p in method.network.parameters() if p.grad is not None]
    return float(loss), torch.cat(gradients).numpy()


def gradients_on_a_rank(rank: int) -> dict[Case, tuple[float, np.ndarray]]:
    return {case: loss_and_gradient(case, rank, 2) for case in [*CASES, DETACHED]}


def state_after_three_steps(method_name: str, rank: int, world_size: int) -> dict[str, dict[str, np.ndarray]]:
    """Online, target and further state after three steps of plain gradient descent; ``start``: parameters before."""
    case = Case(method_name, "synced")
    method = build(case, rank, world_size)
    network: MomentumNetwork = method.network  # type: ignore[assignment]
    start = _arrays(network.target)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=LEARNING_RATES[method_name])
    batch = batch_of(rank, world_size, whole=[*OF_RANK[0], *OF_RANK[1]])  # a memory keeps them in the ranks' order
    for number in range(3):
        optimizer.zero_grad()
        backward(method.step, batch, torch.Generator(), passes(case, method, world_size))
        optimizer.step()
        method.step.advance((number + 1) / 3)
    return {
        "start": start,
        "target": _arrays(network.target),
        "online": _arrays(network.online.embedding),
        "rest": {name: value.numpy() for name, value in network.named_buffers(recurse=False)},
    }


def _arrays(network: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.clone().numpy() for name, value in network.state_dict().items()}


def states_on_a_rank(rank: int) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    return {name: state_after_three_steps(name, rank, 2) for name in MOMENTUM_METHODS}
