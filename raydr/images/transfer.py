"""Small tensors on their way to where the pictures are."""

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor`` on ``device``, without the program's waiting for a GPU.

    A plain copy to a GPU waits until all that was launched before it is done.
    """
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def onto(parameter: Tensor, image: Tensor) -> Tensor:
    """``parameter`` in the precision of ``image`` and beside it."""
    return sent(parameter.to(image.dtype), image.device)
