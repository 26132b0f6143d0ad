"""What settings make of a method: heads, encoder, step; and who is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from raydr.build import build_method, check_method
from raydr.config.learning import ModelSettings
from raydr.config.methods import MethodSettings
from raydr.engine.batch import Batch
from raydr.engine.context import LocalContext
from raydr.engine.method import Method
from raydr.errors import InputError
from raydr.images.augment import augmentation


def settings_of(**values: Any) -> MethodSettings:
    settings: MethodSettings = TypeAdapter(MethodSettings).validate_python(values)
    return settings


def build(folder: Path, backbone: str = "test_resnet", **values: Any) -> Method:
    torch.manual_seed(0)
    model = ModelSettings(backbone=backbone)
    return build_method(model, settings_of(**values), augmentation("weak"), LocalContext(folder))


def outputs(method: Method) -> tuple[torch.Tensor, ...]:
    image = torch.randint(0, 256, (4, 3, 48, 48), dtype=torch.uint8)
    return method.step.outputs(Batch(image, torch.arange(4), torch.zeros(4)), torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [2, 3])
def test_simclrs_head_has_the_layers_asked_for(tmp_path, layers):
    network = build(tmp_path, name="simclr", projection_layers=layers, hidden_dim=8, projection_dim=4).network
    assert sum(isinstance(layer, nn.Linear) for layer in network.projector.modules()) == layers


def test_simclr_is_decoupled_where_asked(tmp_path):
    batch = Batch(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4), torch.zeros(4))
    z = tuple(torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0)))
    losses = [float(build(tmp_path, name="simclr", decoupled=chosen).step.loss(z, batch)) for chosen in (False, True)]
    assert losses[1] < losses[0] - 0.01  # the twin is missing in the denominator


def test_vicreg_weighs_its_three_terms(tmp_path):
    batch = Batch(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4), torch.zeros(4))
    z = tuple(0.3 * torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0)))

    def loss(**weights: float) -> float:
        none = {"invariance_weight": 0.0, "variance_weight": 0.0, "covariance_weight": 0.0}
        small = {"name": "vicreg", "hidden_dim": 8, "projection_dim": 5}
        return float(build(tmp_path, **small, **{**none, **weights}).step.loss(z, batch))

    parts = [loss(invariance_weight=25.0), loss(variance_weight=25.0), loss(covariance_weight=1.0)]
    assert min(parts) > 0
    together = loss(invariance_weight=25.0, variance_weight=25.0, covariance_weight=1.0)
    assert together == pytest.approx(sum(parts), rel=1e-5)


def test_dino_keeps_the_teacher_and_sees_all_its_crops(tmp_path):
    small = {"hidden_dim": 8, "bottleneck_dim": 4, "num_prototypes": 6, "num_local_views": 3, "local_side_px": 16}
    method = build(tmp_path, name="dino", **small)
    assert method.encoder is method.network.target
    student, teacher = outputs(method)
    assert student.shape == (4, 5, 6)
    assert teacher.shape == (4, 2, 6)


def test_mae_hides_three_quarters_of_the_patches_and_keeps_the_backbone(tmp_path):
    method = build(tmp_path, "test_vit", name="mae", decoder_dim=32, decoder_depth=1, hidden_fraction=0.75)
    assert method.encoder.backbone is method.network.backbone
    told, there, is_hidden = outputs(method)
    assert told.shape == there.shape == (4, 9, 768)
    assert is_hidden.sum(dim=1).tolist() == [7] * 4  # 2 of 9 are seen
    assert not torch.equal(is_hidden[0], is_hidden[1])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit3"])
def test_mae_of_another_network_is_refused_by_its_key_before_anything_is_built(name):
    with pytest.raises(InputError, match=rf"^pretrain\.model\.backbone: '{name}' is no plain vision transformer"):
        check_method(ModelSettings(backbone=name), settings_of(name="mae"), "pretrain.model.backbone")
    check_method(ModelSettings(backbone="test_vit"), settings_of(name="mae"))
    check_method(ModelSettings(backbone=name), settings_of(name="simclr"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "simclr", "projection_layers": 4},
        {"name": "vicreg", "covariance_weight": -1.0},
        {"name": "vicreg", "batch_norm": "shuffled"},
        {"name": "dino", "local_area": [0.5, 0.4]},
        {"name": "dino", "local_area": [0.0, 0.4]},
        {"name": "dino", "num_prototypes": 1},
        {"name": "dino", "num_local_views": -1},
        {"name": "dino", "momentum": 1.0},
        {"name": "mae", "hidden_fraction": 1.0},
        {"name": "mae", "decoder_dim": 33},
        {"name": "mae", "temperature": 0.1},
    ],
)
def test_values_out_of_range_and_keys_of_other_methods_are_refused(wrong):
    with pytest.raises(ValidationError):
        settings_of(**wrong)
