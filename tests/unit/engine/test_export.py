"""An exported model computes what the original does, for any number of pictures, and tells what it is."""

import functools
import json
import zipfile

import numpy as np
import pytest
import torch

from raydr.engine import export
from raydr.engine.export import (
    FILES,
    check_export,
    describe_export,
    greatest_difference,
    load_export,
    write_export,
)
from raydr.engine.package import ModelDescription
from raydr.errors import InputError
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier, grade_probabilities, referable_probability

SIDE = 64


def classifier(name, head):
    torch.manual_seed(3)
    backbone = create_backbone(name)
    backbone.lay_channels_last()  # as a loaded one is
    return Classifier(backbone, {"binary": 1, "grades": 5}[head]).eval()


def described(name, head, export_format):
    description = ModelDescription(name, head, Preprocess(side_px=SIDE), thresholds={"youden": 0.25})
    return describe_export(description, export_format, version="1.2.3")


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The path of a network's exported file, which is written once for all tests."""

    @functools.cache
    def write(name, head, export_format):
        metadata, folder = described(name, head, export_format), tmp_path_factory.mktemp("exported")
        return write_export(classifier(name, head), folder, export_format, side_px=SIDE, metadata=metadata)

    return write


@pytest.mark.pipeline
@pytest.mark.parametrize("export_format", ["onnx", "torch-export"])
@pytest.mark.parametrize(("name", "head"), [("test_resnet", "grades"), ("test_vit", "binary")])
def test_bytes_go_in_and_the_same_probabilities_come_out_for_any_batch(written, name, head, export_format):
    network, images = classifier(name, head), pictures(5)
    with torch.no_grad():
        logits = network(torch.from_numpy(images).float() / 255)
    path = written(name, head, export_format)
    assert path.name == FILES[export_format]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    run = load_export(path, export_format)
    for count in (1, 3, 5):
        found = run(images[:count])
        np.testing.assert_allclose(found[0], referable_probability(logits)[:count].numpy(), atol=1e-5)
        if head == "grades":
            np.testing.assert_allclose(found[1], grade_probabilities(logits)[:count].numpy(), atol=1e-5)
        assert len(found) == {"binary": 1, "grades": 5}[head] // 5 + 1


@pytest.mark.pipeline
def test_the_files_hold_their_own_description(written):
    import onnx

    paths = {export_format: written("test_resnet", "grades", export_format) for export_format in FILES}
    for export_format in FILES:
        metadata = described("test_resnet", "grades", export_format)
        assert metadata["thresholds"] == {"youden": 0.25}
        assert metadata["preprocess"]["side_px"] == SIDE
        assert "not a medical device" in metadata["use"]
        assert [output["name"] for output in metadata["outputs"]] == ["probability", "grade_probabilities"]
    inside = {entry.key: entry.value for entry in onnx.load(paths["onnx"]).metadata_props}
    expected = described("test_resnet", "grades", "onnx")
    assert {
        key: value if isinstance(expected[key], str) else json.loads(value)
        for key, value in inside.items()
        if key in expected
    } == expected
    with zipfile.ZipFile(paths["torch-export"]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("metadata.json")]
        assert json.loads(archive.read(name)) == described("test_resnet", "grades", "torch-export")


@pytest.mark.pipeline
def test_an_onnx_model_takes_pixels_as_they_are_stored_and_a_batch_of_any_size(written):
    import onnxruntime

    path = written("test_resnet", "grades", "onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("image", "tensor(uint8)", [3, SIDE, SIDE])
    assert isinstance(taken.shape[0], str)
    assert [(made.name, made.shape[1:]) for made in session.get_outputs()] == [
        ("probability", []),
        ("grade_probabilities", [5]),
    ]


def test_the_greatest_difference_is_found_wherever_it_is_and_nan_is_no_agreement():
    network, images = classifier("test_resnet", "binary"), pictures(4)
    with torch.no_grad():
        right = referable_probability(network(torch.from_numpy(images).float() / 255)).numpy()
    by_content = {image.tobytes(): value for image, value in zip(images, right, strict=True)}

    def found(change):
        run = lambda batch: [np.array([change(by_content[image.tobytes()], len(batch)) for image in batch])]  # noqa: E731
        return greatest_difference(network, run, images, batch_sizes=(1, 3))

    assert found(lambda value, _: value) < 1e-6
    assert found(lambda value, size: value + 0.5 * (size == 3)) == pytest.approx(0.5, abs=1e-5)
    assert found(lambda value, _: value + 0.25 * (value == right[3])) == pytest.approx(0.25, abs=1e-5)
    assert np.isnan(found(lambda value, _: value if value != right[1] else np.nan))
    assert np.isinf(greatest_difference(network, lambda _: [right], images, batch_sizes=(3,)))


def test_where_a_library_is_missing_the_error_names_the_extra(monkeypatch):
    check_export("onnx")
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else object())
    check_export("torch-export")
    with pytest.raises(InputError, match=r"'onnx' needs onnxscript, .*raydr\[export\]"):
        check_export("onnx")
