"""Whether a study's pretraining stands: by what it was learnt from, not by the file that lists it."""

import pytest

from raydr.config.jobs import PretrainSettings
from raydr.workflows.digests import digest_of_settings
from raydr.workflows.pretrain import pretrained
from raydr.workflows.result import StageResult, write_result


@pytest.fixture
def settings(tmp_path):
    """Settings whose backbone stands, made of the images "these"."""
    manifest, model = tmp_path / "learning.parquet", tmp_path / "out" / "model"
    manifest.write_bytes(b"rows")
    model.mkdir(parents=True)
    data = {"manifest": str(manifest)}
    found = PretrainSettings.model_validate({"job": "pretrain", "out": str(tmp_path / "out"), "data": data})
    result = StageResult(
        verb="pretrain",
        out=found.out,
        settings_digest=digest_of_settings(found),
        started="",
        seconds=1.0,
        mlflow_run_id="",
        metrics={},
        artifacts={"model": str(model)},
        inputs={"manifest": "these"},
    )
    write_result(result)
    return found


def test_it_stands_for_the_same_images_wherever_they_lie_and_for_no_others(settings, tmp_path):
    (tmp_path / "learning.parquet").write_bytes(b"the same rows, with other places of photographs")
    assert pretrained(settings, {"manifest": "these"}) == str(tmp_path / "out" / "model")
    assert pretrained(settings, {"manifest": "others"}) is None


def test_it_does_not_stand_with_other_settings_or_without_its_model(settings, tmp_path):
    assert pretrained(settings.model_copy(update={"seed": 1}), {"manifest": "these"}) is None
    (tmp_path / "out" / "model").rmdir()
    assert pretrained(settings, {"manifest": "these"}) is None
