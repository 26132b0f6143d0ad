"""What is counted of a step's exchanges, beside the network's own shapes."""

import pytest
import timm

from raydr.config.stages import PretrainStage
from raydr.learning.step_exchange import count_step_exchange


@pytest.mark.parametrize(("batch_norm", "is_counted"), [("synced", True), ("local", False)])
def test_every_weight_has_a_gradient_and_every_synchronised_normalisation_two_exchanges(
    batch_norm: str, is_counted: bool
) -> None:
    method = {"name": "simclr", "hidden_dim": 32, "projection_dim": 16, "batch_norm": batch_norm}
    found = count_step_exchange(PretrainStage.model_validate({"model": {"backbone": "resnet10t"}, "method": method}))
    backbone = timm.create_model("resnet10t", num_classes=0)
    weights = sum(each.numel() for each in backbone.parameters())
    # The projector: two layers, the first without a bias, a normalisation behind each, of which the last may be plain.
    projector = 512 * 32 + 32 * 16
    assert 4 * (weights + projector) <= found.gradient_bytes <= 4 * (weights + projector + 4 * (32 + 16))
    norms = sum("BatchNorm" in type(module).__name__ for module in backbone.modules())
    assert (found.num_small >= 2 * (norms + 1)) is is_counted
    assert found.num_small == 0 or is_counted


def test_a_slow_copy_has_no_gradient() -> None:
    def gradient_bytes(name: str) -> int:
        stage = {"model": {"backbone": "resnet10t"}, "method": {"name": name, "hidden_dim": 32, "projection_dim": 16}}
        return count_step_exchange(PretrainStage.model_validate(stage)).gradient_bytes

    assert gradient_bytes("byol") < 1.2 * gradient_bytes("simclr")
