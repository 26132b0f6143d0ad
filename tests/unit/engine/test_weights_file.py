"""Weights from elsewhere: the network gets every one of its tensors or the file is refused by name."""

import pickle
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from raydr.build import build_backbone
from raydr.config.learning import ModelSettings
from raydr.engine.weights_file import load_weights_file
from raydr.errors import InputError


def published(**options):
    torch.manual_seed(3)
    return timm.create_model("test_resnet", **options)


def bare():
    torch.manual_seed(4)
    return timm.create_model("test_resnet", num_classes=0)


def assert_equal(network, other):
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.encoder.", "model.backbone."])
@pytest.mark.parametrize("table", [None, "state_dict", "model"])
def test_tables_and_prefixes_of_others_are_seen_through_and_heads_left_out(tmp_path, prefix, table):
    network = published(num_classes=7)
    tensors = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / "weights.pth"
    torch.save({table: tensors, "epoch": 3} if table else tensors, path)
    filled = bare()
    load_weights_file(str(path), filled)
    assert_equal(filled, network)


def test_a_backbone_starts_from_a_safetensors_file(tmp_path):
    network, path = published(num_classes=0), tmp_path / "weights.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    backbone = build_backbone(ModelSettings(backbone="test_resnet", weights=str(path)))
    assert_equal(backbone.network, network)


def test_a_missing_tensor_and_another_shape_are_named(tmp_path):
    tensors, path = published(num_classes=0).state_dict(), tmp_path / "weights.safetensors"
    name = "layer1.0.conv1.weight"
    safetensors.torch.save_file({key: value for key, value in tensors.items() if key != name}, path)
    with pytest.raises(InputError, match=rf"{name}: is missing.*1 of its"):
        load_weights_file(str(path), bare())
    safetensors.torch.save_file({**tensors, name: torch.zeros(2, 2)}, path)
    with pytest.raises(InputError, match=rf"{name}: has the shape \[2, 2\], the network wants"):
        load_weights_file(str(path), bare())


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "proof",))

    content = pickle.dumps(Bomb(), protocol=2)
    pickle.loads(content)
    (tmp_path / "proof").unlink()  # it would
    for name in ("weights.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="more than tensors and plain values"):
            load_weights_file(str(tmp_path / name), bare())
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_a_damaged_or_absent_file_is_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(InputError, match="cannot be read"):
        load_weights_file(str(path), bare())
    path.write_bytes(b"not a file of weights")
    with pytest.raises(InputError, match=r"weights\..*damaged"):
        load_weights_file(str(path), bare())
