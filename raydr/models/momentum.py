"""A network and its slowly following copy."""

import copy

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from raydr.models.embedding import EmbeddingNetwork


class PredictingNetwork(nn.Module):
    """An embedding network under a predictor, which guesses the embedding of another view."""

    def __init__(self, embedding: EmbeddingNetwork, predictor: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.predictor = predictor

    def forward(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Predictions [B, D] for each set of views [B, 3, S, S].

        Each set goes through by itself: its batch statistics are its own, as in the authors' code of BYOL and MoCo v3.
        All are in one call, since DistributedDataParallel takes one forward for each backward.
        """
        return tuple(self.predictor(self.embedding(view)) for view in views)


class MomentumNetwork(nn.Module):
    """The online network, which is trained, and its target, which follows it (arXiv:2006.07733; arXiv:2104.02057).

    The target starts with the online network's weights and is never sent a gradient. Only its parameters follow. Its
    running batch statistics are gathered in its own forward passes, as in the authors' code of both papers: they
    belong to its own weights, not to the online network's.
    """

    def __init__(self, embedding: EmbeddingNetwork, predictor: nn.Module) -> None:
        super().__init__()
        self.online = PredictingNetwork(embedding, predictor)
        self.target = copy.deepcopy(embedding).requires_grad_(requires_grad=False)

    def follow(self, momentum: float) -> None:
        """Move the target's parameters: xi <- m xi + (1 - m) theta (arXiv:2006.07733, eq. 1).

        Raises:
            ValueError: ``momentum`` is not in [0, 1].
        """
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum {momentum} must be in [0, 1]")
        average = get_ema_multi_avg_fn(momentum)  # type: ignore[no-untyped-call]  # few launches for all parameters
        average(list(self.target.parameters()), list(self.online.embedding.parameters()), None)
