"""A preset fills in what a file leaves out and nothing else."""

from pathlib import Path

import pytest

from raydr.config.jobs import RunSettings
from raydr.config.load import load
from raydr.config.override import with_overrides
from raydr.config.presets import PAPER_DISTILL, PAPER_FINETUNE, PAPER_PRETRAIN
from raydr.config.show import as_toml
from raydr.config.stages import DistillStage, FinetuneStage, LearningStage, PretrainStage
from raydr.errors import SettingsError

STAGES = [(PretrainStage, PAPER_PRETRAIN), (FinetuneStage, PAPER_FINETUNE), (DistillStage, PAPER_DISTILL)]
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("kind", "paper"), STAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_papers_settings_are_those_of_the_preset_and_the_rest_the_defaults(kind: type[LearningStage], paper):
    def check(found, expected, default):
        for key, value in found.items():
            if isinstance(value, dict) and key in expected:
                check(value, expected[key], default[key])
            else:
                assert value == expected.get(key, default.get(key)), key

    check(kind(preset="paper").model_dump(), {"preset": "paper", **paper}, kind().model_dump())
    assert kind(preset="default") == kind()


def test_a_files_own_keys_go_before_the_presets():
    found = DistillStage.model_validate(
        {"preset": "paper", "distillation": {"soft_weight": 1.0}, "optim": {"epochs": 7}, "augment": "none"}
    )
    assert (found.distillation.soft_weight, found.distillation.hard_weight) == (1.0, 1.0)
    assert (found.optim.epochs, found.optim.name, found.augment) == (7, "sgd", "none")


def test_another_method_takes_nothing_of_the_presets():
    found = PretrainStage.model_validate({"preset": "paper", "method": {"name": "byol"}})
    assert found.method == PretrainStage.model_validate({"method": {"name": "byol"}}).method
    assert found.optim.learning_rate == 8e-5
    kept = PretrainStage.model_validate({"preset": "paper", "method": {"temperature": 0.1}})
    assert (kept.method.temperature, kept.method.projection_dim) == (0.1, 1000)


def test_a_preset_does_not_come_back_over_a_changed_setting():
    found = with_overrides(DistillStage(preset="paper"), {"distillation.hard_weight": 0.5, "optim.gradient_clip": 1.0})
    assert (found.distillation.hard_weight, found.optim.gradient_clip) == (0.5, 1.0)


def paper_run(**overrides: object) -> RunSettings:
    return load("run", [ROOT / "jobs" / "paper.toml"], overrides=overrides)


def test_a_run_hands_its_preset_to_stages_that_name_none():
    found = paper_run(
        **{"finetune.preset": "default", "finetune.model.backbone": "resnet50", "distill.optim.epochs": 3}
    )
    assert found.pretrain == PretrainStage(preset="paper")
    assert found.finetune == with_overrides(FinetuneStage(), {"model.backbone": "resnet50"})
    assert found.distill == with_overrides(DistillStage(preset="paper"), {"optim.epochs": 3})


def test_what_is_shown_is_what_the_preset_filled_in():
    shown = as_toml(paper_run())
    assert '\n[distill.model]\nbackbone = "densenet161"\nweights = "timm"\n' in shown
    assert "# gradient_clip is null" in shown


def test_an_unknown_preset_is_named_once():
    with pytest.raises(SettingsError) as caught:
        paper_run(preset="papr")
    assert caught.value.lines == ("command line: preset: must be one of 'default' or 'paper' (got 'papr')",)


def test_a_head_goes_on_only_where_there_is_one(tmp_path):
    with pytest.raises(
        SettingsError, match=r"head\.start: 'weights' needs model\.weights to name a classifier's folder"
    ):
        load("finetune", [ROOT / "jobs" / "paper_student.toml"], overrides={"model.weights": "timm"})
