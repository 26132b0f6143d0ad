"""Which network the stages of a run may start from which."""

from collections.abc import Iterator, Mapping

from raydr.config.explain import Problem
from raydr.config.override import with_overrides
from raydr.config.space import Domain, extremes
from raydr.config.stages import DistillStage, FinetuneStage, PretrainStage


def impossible_starts(
    pretrain: PretrainStage, finetune: FinetuneStage, distill: DistillStage, space: Mapping[str, Domain]
) -> Iterator[Problem]:
    """Every key that makes a teacher or a student start from the weights of another network than its own.

    Args:
        pretrain: What `weights = "pretrain"` is.
        finetune: The teacher, which a student with `start = "teacher"` begins as.
        distill: The student.
        space: What a search changes of it.
    """
    model, backbone = finetune.model, pretrain.model.backbone
    if model.weights == "pretrain" and model.backbone != backbone:
        yield ("finetune", "model", "weights"), _of_another("finetune", model.backbone, backbone)
    wrong = _wrong_start(pretrain, finetune, distill)
    if wrong is not None:
        key, text = wrong
        yield ("distill", *key), text
        return
    faults: dict[str, str] = {}
    for searched, overrides in extremes(space):
        wrong = _wrong_start(pretrain, finetune, with_overrides(distill, overrides))
        if wrong is not None:
            key, text = wrong
            faults.setdefault(searched, f"distill.{'.'.join(key)} {text}")
    yield from ((("search", "space", searched), text) for searched, text in faults.items())


def _wrong_start(
    pretrain: PretrainStage, finetune: FinetuneStage, student: DistillStage
) -> tuple[tuple[str, ...], str] | None:
    backbone = student.model.backbone
    if student.is_unlike(finetune.model.backbone):
        text = f"is 'teacher', but distill.model.backbone {backbone!r} is not finetune.model.backbone "
        return ("start",), f"{text}{finetune.model.backbone!r}; allowed: 'model'"
    if student.start == "model" and student.model.weights == "pretrain" and backbone != pretrain.model.backbone:
        return ("model", "weights"), _of_another("distill", backbone, pretrain.model.backbone)
    return None


def _of_another(stage: str, backbone: str, pretrained: str) -> str:
    return (
        f"is 'pretrain', but {stage}.model.backbone {backbone!r} is not pretrain.model.backbone {pretrained!r}; "
        "allowed: 'none', 'timm' or a checkpoint folder"
    )
