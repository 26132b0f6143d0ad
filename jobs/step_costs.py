"""What a SimCLR step costs beside its forward and backward pass, and how much of the device's arithmetic it uses."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from train_contenders import autocast, device_of, embedding_network
from train_setting import Setting

from raydr.engine.accumulation import Passes, backward
from raydr.engine.batch import Batch
from raydr.engine.steps.simclr import SimclrStep
from raydr.images.augment import augmentation

# Dense bf16 by NVIDIA's data sheets. The first name that is part of the device's counts.
_PEAK_TFLOPS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.0,
    "L4": 121.0,
}


def peak_tflops(device_name: str) -> float | None:
    """A device's bf16 peak in TFLOP/s by its name, None where it is not known."""
    return next((peak for part, peak in _PEAK_TFLOPS.items() if part in device_name), None)


def step_flops(network: nn.Module, views: torch.Tensor) -> int:
    """Floating-point operations of one forward and backward pass over ``views``; a multiplication and its sum are two.

    Only matrix products and convolutions are counted, as for every published model FLOPs utilisation
    (arXiv:2204.02311, appendix B).
    """
    with FlopCounterMode(display=False) as counter:
        network(views).float().square().mean().backward()
    network.zero_grad(set_to_none=True)
    return counter.get_total_flops()


def utilisation(flops: float, seconds: float, peak: float) -> float:
    """Percent of ``peak`` TFLOP/s that so many operations in so many seconds are."""
    return 100 * flops / seconds / (peak * 1e12)


def costs(setting: Setting, peak: float | None) -> dict[str, Callable[[], Mapping[str, float]]]:
    """The contenders, on one worker: `forward_backward` on views that are there, and the whole `step` on pictures.

    A step: two views, forward, loss, backward, optimiser. Both on what lies on the device.
    """
    device = device_of(setting, 0)
    torch.manual_seed(0)
    count = setting.batch_size // setting.workers
    network = embedding_network(setting).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=setting.learning_rate)
    image = torch.randint(0, 256, (count, 3, setting.side_px, setting.side_px), dtype=torch.uint8).to(device)
    batch = Batch(image, torch.arange(count, device=device), torch.full((count,), -1, device=device))
    views = torch.rand(2 * count, 3, setting.side_px, setting.side_px, device=device)
    passes = Passes(network, autocast=lambda: autocast(setting, device))
    draw = torch.Generator().manual_seed(0)
    step = SimclrStep(network, augmentation(setting.preset), lambda z: z, rank=0, temperature=setting.temperature)
    flops = count * step_flops(network, views[:2])  # two views an image

    def forward_backward() -> None:
        optimizer.zero_grad(set_to_none=True)
        with passes.autocast():
            loss = step.loss(tuple(network(views).chunk(2)), batch)
        loss.backward()

    def whole() -> None:
        optimizer.zero_grad(set_to_none=True)
        backward(step, batch, draw, passes)
        optimizer.step()

    def figures(run: Callable[[], None]) -> Mapping[str, float]:
        seconds = _seconds(run, setting, device)
        found = {"images_per_s": count / seconds}
        return found if peak is None else found | {"mfu": utilisation(flops, seconds, peak)}

    return {"forward_backward": lambda: figures(forward_backward), "step": lambda: figures(whole)}


def _seconds(run: Callable[[], None], setting: Setting, device: torch.device) -> float:
    """A run's, the mean of as many as an epoch has steps."""
    torch.set_num_threads(setting.threads)
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(setting.steps):
        run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / setting.steps
