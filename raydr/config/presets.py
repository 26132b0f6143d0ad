"""Named sets of defaults for the learning stages; whatever a file says goes before them."""

from collections.abc import Mapping
from typing import Any, Final, Literal

PresetName = Literal["default", "paper"]

# What the authors of arXiv:2208.02408 ran, by their code where it and their text differ. Left behind: a teacher whose
# batch statistics followed the student's pictures, another normalisation in every stage, two linear layers in a row
# for a head, a loss that sees one device's images only. Ours: cosine decay, Nesterov momentum, AdamW for Adam.
PAPER_PRETRAIN: Final[Mapping[str, Any]] = {
    "model": {"backbone": "resnet50", "weights": "timm"},
    "method": {
        "name": "simclr",
        "batch_norm": "local",
        "temperature": 0.07,
        "hidden_dim": 2048,
        "projection_dim": 1000,
        "projection_layers": 2,
        "decoupled": False,
    },
    "optim": {
        "name": "adamw",
        "learning_rate": 8e-5,  # 1e-5 for each of 8 devices
        "weight_decay": 5e-4,
        "epochs": 100,
        "warmup_fraction": 0.0,
        "batch_size": 512,
        "gradient_clip": None,
    },
    "augment": "paper",
}
PAPER_FINETUNE: Final[Mapping[str, Any]] = {
    "model": {"backbone": "resnet50", "batch_norm": "local"},
    "head": {"kind": "binary"},
    "optim": {
        "name": "sgd",
        "learning_rate": 0.05,
        "weight_decay": 1e-4,
        "epochs": 200,
        "batch_size": 512,
        "gradient_clip": None,
    },
    "augment": "paper_crop",
    "class_balance": False,  # the budget is
    "keep": "last",
}
PAPER_DISTILL: Final[Mapping[str, Any]] = {
    "model": {"backbone": "densenet161", "weights": "timm"},  # larger than its teacher
    "distillation": {
        "targets": "online",
        "temperature": 1.0,
        "soft_weight": 0.0,
        "hard_weight": 1.0,
        "label_weight": 0.0,
        "teacher_views": 1,
    },
    "optim": {
        "name": "sgd",
        "learning_rate": 1e-4,
        "weight_decay": 1e-4,
        "epochs": 30,  # of their last runs; 100 earlier, 200 in their text
        "warmup_fraction": 0.0,
        "batch_size": 32,
        "gradient_clip": None,
    },
    "augment": "paper_colour",
    "class_balance": False,
    "keep": "last",
}


def with_preset(data: Any, paper: Mapping[str, Any]) -> Any:
    """A stage's settings as read, on top of those that its `preset` names."""
    if not isinstance(data, Mapping) or data.get("preset") != "paper":
        return data
    return _over(paper, data)


def _over(base: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(base)
    for key, value in upper.items():
        below = base.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and not _is_other_method(key, below, value):
            made[key] = _over(below, value)
        else:
            made[key] = value
    return made


def _is_other_method(key: str, below: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether a table is of another method than the preset's: its keys are others, and it takes none of them."""
    return key == "method" and value.get("name", below["name"]) != below["name"]
