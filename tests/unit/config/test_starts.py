"""A run is refused before it starts where a network would have to start from another network's weights."""

import pytest

from raydr.config.space import Choice
from raydr.config.stages import DistillStage, FinetuneStage, PretrainStage
from raydr.config.starts import impossible_starts

PRETRAIN = PretrainStage.model_validate({"model": {"backbone": "resnet18"}})


def told(distill=None, finetune=None, **space):
    stages = FinetuneStage.model_validate(finetune or {}), DistillStage.model_validate(distill or {})
    domains = {key: Choice.model_validate({"kind": "choice", "values": values}) for key, values in space.items()}
    return {".".join(path): text for path, text in impossible_starts(PRETRAIN, *stages, domains)}


@pytest.mark.parametrize("stage", ["finetune", "distill"])
def test_another_network_cannot_start_from_the_pretrained_one(stage):
    found = told(**{stage: {"model": {"backbone": "resnet50"}}})
    assert list(found) == [f"{stage}.model.weights"]
    assert found[f"{stage}.model.weights"].startswith(
        f"is 'pretrain', but {stage}.model.backbone 'resnet50' is not pretrain.model.backbone 'resnet18'; allowed: "
    )
    assert told(**{stage: {"model": {"backbone": "resnet50", "weights": "timm"}}}) == {}


def test_a_searched_network_that_cannot_start_from_the_pretrained_one_is_told_once_by_its_key():
    backbones = {"model.backbone": ["resnet18", "resnet50", "resnet34"]}
    found = told(**backbones)
    assert list(found) == ["search.space.model.backbone"]
    assert "distill.model.weights is 'pretrain', but distill.model.backbone 'resnet50'" in found[next(iter(found))]
    assert told(distill={"model": {"weights": "none"}}, **backbones) == {}


def test_a_student_that_starts_as_its_teacher_has_the_teachers_network_whatever_was_pretrained():
    other = {"model": {"backbone": "resnet50", "weights": "timm"}}
    assert told(finetune=other, distill={"start": "teacher", "model": {"backbone": "resnet50"}}) == {}
    found = told(finetune=other, distill={"start": "teacher"})
    assert found == {
        "distill.start": "is 'teacher', but distill.model.backbone 'resnet18' is not finetune.model.backbone "
        "'resnet50'; allowed: 'model'"
    }


def test_a_searched_network_must_be_the_teachers_where_students_start_as_it():
    found = told(distill={"start": "teacher"}, **{"model.backbone": ["resnet18", "resnet50"]})
    assert found["search.space.model.backbone"].startswith("distill.start is 'teacher', but")
