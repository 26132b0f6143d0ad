"""`raydr export` writes a model that was proved right on pictures, or nothing."""

import json

import numpy as np
import pytest
import torch

from raydr.config.jobs import ExportSettings
from raydr.engine.export import load_export
from raydr.engine.package import ModelDescription, load_model, save_model
from raydr.errors import InputError, RunError
from raydr.images.jpeg import encode
from raydr.images.phantom import draw_phantom
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier, referable_probability
from raydr.workflows import export as workflow
from raydr.workflows.export import export


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(3)
    network = Classifier(create_backbone("test_resnet"), 5)
    description = ModelDescription("test_resnet", "grades", Preprocess(side_px=64), thresholds={"youden": 0.4})
    save_model(str(tmp_path / "model"), network, description)
    return str(tmp_path / "model")


def settings_for(tmp_path, model, **others):
    content = {"job": "export", "model": model, "out": str(tmp_path / "out"), "tracking": {"enabled": False}}
    return ExportSettings.model_validate({**content, **others})


def files_in(folder):
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.pipeline
@pytest.mark.parametrize(("export_format", "file"), [("onnx", "model.onnx"), ("torch-export", "model.pt2")])
def test_the_written_model_scores_a_photograph_as_the_original_does(tmp_path, model, export_format, file, capsys):
    (tmp_path / "photographs").mkdir()
    photograph = encode(draw_phantom(patient_seed=1, eye="left", grade=3))
    (tmp_path / "photographs" / "a.jpeg").write_bytes(photograph)
    (tmp_path / "photographs" / "b.jpeg").write_bytes(photograph[:100])
    settings = settings_for(tmp_path, model, format=export_format, images=str(tmp_path / "photographs"))
    result = export(settings)
    assert "greatest difference from the original" in capsys.readouterr().out
    assert result.metrics["greatest_difference"] <= 1e-4
    assert result.artifacts["model"] == str(tmp_path / "out" / file)
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["parity"]["pictures"] == 1
    original = load_model(model)
    pixels = Preprocess(**metadata["preprocess"])(photograph).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        expected = referable_probability(original.network(torch.from_numpy(pixels).float() / 255)).numpy()
    found = load_export(tmp_path / "out" / file, export_format)(np.ascontiguousarray(pixels))
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert export(settings).up_to_date


@pytest.mark.pipeline
def test_a_model_that_differs_is_not_written(tmp_path, model, monkeypatch):
    def load(path, export_format):
        run = load_export(path, export_format)
        return lambda image: [value + 2e-4 * (len(image) == 3) for value in run(image)]

    monkeypatch.setattr(workflow, "load_export", load)
    with pytest.raises(RunError, match=r"differ from the original's by up to 0\.0002 on 16 pictures .*nothing was"):
        export(settings_for(tmp_path, model, format="torch-export"))
    assert files_in(tmp_path / "out") <= {"run.json"}


def test_a_file_that_is_no_result_of_ours_is_not_overwritten(tmp_path, model):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.onnx").write_bytes(b"theirs")
    with pytest.raises(InputError, match=r"model\.onnx: out: is there already"):
        export(settings_for(tmp_path, model))
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b"theirs"


def test_photographs_none_of_which_can_be_read_prove_nothing(tmp_path, model):
    (tmp_path / "broken.jpeg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="images: none of the photographs can be read"):
        export(settings_for(tmp_path, model, format="torch-export", images=str(tmp_path / "broken.jpeg")))
