"""A model folder: what is loaded is what was saved, anything torn, replaced or of another kind is refused."""

import json

import pytest
import torch

from raydr import storage
from raydr.engine.package import (
    ModelDescription,
    copy_model,
    load_backbone_weights,
    load_head_weights,
    load_model,
    read_description,
    save_model,
)
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier

NAME = "test_resnet"
PREPROCESS = Preprocess(side_px=32, enhance="clahe", through_px=64)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Classifier(create_backbone(NAME), 5).eval()


@pytest.fixture
def folder(network, tmp_path):
    description = ModelDescription(NAME, "grades", PREPROCESS, thresholds={"youden": 0.3}, provenance={"seed": "0"})
    save_model(str(tmp_path / "model"), network, description)
    return str(tmp_path / "model")


def test_a_loaded_model_computes_what_the_saved_one_did_and_knows_its_preprocessing(network, folder):
    loaded = load_model(folder)
    network.backbone.lay_channels_last()  # as models are loaded; another layout rounds otherwise
    image = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.network(image), network(image))
    assert not loaded.network.training
    assert (loaded.preprocess, loaded.head, dict(loaded.thresholds)) == (PREPROCESS, "grades", {"youden": 0.3})


def test_a_backbone_can_be_filled_from_any_model_of_its_architecture(network, folder):
    backbone = create_backbone(NAME)
    load_backbone_weights(folder, backbone, name=NAME)
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(backbone.state_dict()[name], tensor)


def test_a_backbone_of_another_architecture_is_refused_naming_both(folder):
    with pytest.raises(InputError, match=r"'test_resnet', but model\.backbone asks"):
        load_backbone_weights(folder, create_backbone("resnet18"), name="resnet18")


def test_a_bare_backbone_is_no_classifier(network, tmp_path):
    save_model(str(tmp_path / "bare"), network, ModelDescription(NAME, None, PREPROCESS))
    assert read_description(str(tmp_path / "bare")).head is None
    with pytest.raises(InputError, match="without a head"):
        load_model(str(tmp_path / "bare"))


def test_replaced_weights_are_refused(folder, tmp_path):
    path = tmp_path / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors: is not the file"):
        load_model(folder)


def test_a_description_that_does_not_fit_the_weights_is_refused(folder, tmp_path):
    path = tmp_path / "model" / "model.json"
    content = json.loads(path.read_text())
    content["head"] = "binary"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"head\.weight is missing or of another shape"):
        load_model(folder)


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), ('{"format": 9}', "format: only 1")])
def test_a_broken_description_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_model(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(InputError, match="is no model folder"):
        load_model(str(tmp_path / "nothing"))


def test_a_head_starts_as_the_saved_one_and_only_as_one_of_its_kind(network, folder):
    torch.manual_seed(1)
    fresh = Classifier(create_backbone(NAME), 5)
    assert not torch.equal(fresh.head.weight, network.head.weight)
    load_head_weights(folder, fresh.head, kind="grades")
    assert torch.equal(fresh.head.weight, network.head.weight)
    assert torch.equal(fresh.head.bias, network.head.bias)
    with pytest.raises(InputError, match=r"head: is 'grades', but head\.kind asks for 'binary'"):
        load_head_weights(folder, Classifier(create_backbone(NAME), 1).head, kind="binary")


def test_a_copied_model_is_the_same_model_and_a_torn_copy_none(tmp_path, monkeypatch):
    network = Classifier(create_backbone("test_resnet"), 1)
    description = ModelDescription("test_resnet", "binary", Preprocess(side_px=32), thresholds={"youden": 0.3})
    for name, scale in (("first", 1.0), ("second", 2.0)):
        with torch.no_grad():
            network.head.weight.mul_(scale)
        save_model(str(tmp_path / name), network, description)
    copy_model(str(tmp_path / "first"), str(tmp_path / "copy"))
    assert load_model(str(tmp_path / "copy")).description == description

    def torn(uri, data):
        if uri.endswith(".json"):
            raise OSError("the disk is full")
        write(uri, data)

    write = storage.write_bytes
    monkeypatch.setattr(storage, "write_bytes", torn)
    with pytest.raises(OSError, match="full"):
        copy_model(str(tmp_path / "second"), str(tmp_path / "copy"))
    with pytest.raises(InputError, match="is no model folder"):
        load_model(str(tmp_path / "copy"))
