"""Settings into objects: what runs is named in settings and chosen here, once."""

from raydr.build.distillation import build_distil_step, check_losses, check_start_from_teacher
from raydr.build.method import build_method, check_method
from raydr.build.network import build_backbone, build_classifier, build_preprocess, build_shard_preprocess
from raydr.build.optimizer import build_optimizer

__all__ = [
    "build_backbone",
    "build_classifier",
    "build_distil_step",
    "build_method",
    "build_optimizer",
    "build_preprocess",
    "build_shard_preprocess",
    "check_losses",
    "check_method",
    "check_start_from_teacher",
]
