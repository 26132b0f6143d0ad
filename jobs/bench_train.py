"""Training at the limit: `raydr pretrain` beside what a user would otherwise write, and what its views cost.

Every contender trains SimCLR with two views on the same network, batch, precision and number of steps, from the same
JPEGs of 512 px. Its figure is the second epoch's; start-up is all that is no epoch.

  limit               forward, loss, backward and optimiser on views that lie on the device: includes no reading, no
                      decoding, no moving and no augmenting, so nothing that trains on pictures can reach it
  raydr               `raydr pretrain`: shards through Ray Data into Ray Train's workers
  plain_ddp           DDP, torch DataLoader, torchvision's transforms in the loader's processes
  lightly             lightly's SimCLRTransform and NTXentLoss in a Lightning Trainer (extra `bench`)

  feed                decode and two views, no network: raydr's tasks and its batched views
  plain_ddp_feed      the same by DataLoader and torchvision
  lightly_feed        the same by DataLoader and lightly

  augment             raydr's views of a batch, on one CPU core, or on the GPU where there is one (`… on the GPU`)
  torchvision         torchvision v2 on one tensor at a time, torchvision_pillow on one picture of Pillow's at a time
  kornia              kornia's batched augmentation, kornia_affine with rotation and zoom as one warp (extra `bench`)

  forward_backward    of the network and the loss alone, on the device
  step                with two views and the optimiser

What needs the extra is left out, and said to be, where it is missing. On a GPU with ResNet-50 in bf16:

  python jobs/bench_train.py --json bench_train.json
  python jobs/bench_train.py --backbone resnet50 --precision bf16 --batch-size 256 --json bench_train_gpu.json
  ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml -- python jobs/bench_train.py
"""

# Processes that are spawned read this file again: what is heavy is imported where it is used.
import argparse
import dataclasses
import functools
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark import Figure, arguments, interleaved, publish

if TYPE_CHECKING:
    from train_setting import Pictures, Setting

PARTS = ("train", "feed", "augment", "step")
RATIOS = [
    ("raydr", "limit"),
    ("raydr", "plain_ddp"),
    ("raydr", "lightly"),
    ("feed", "plain_ddp_feed"),
    ("feed", "lightly_feed"),
    ("step", "forward_backward"),
    ("raydr", "forward_backward"),
    *(
        (f"augment{where}", f"{other}{where}")
        for where in ("", " on the GPU")
        for other in ("torchvision", "torchvision_pillow", "kornia", "kornia_affine")
    ),
]
Contenders = dict[str, Callable[[], Mapping[str, float]]]
_UNITS = {"images_per_s": ("", "images/s"), "views_per_s": ("", "views/s"), "start_up_s": (" start-up", "s")}
_UNITS |= {"mfu": (" model FLOPs utilisation", "%"), "data_wait": (" waits for images", "%")}


def has_extra(module: str) -> bool:
    """Whether a library of the extra `bench` is there; says so where it is not."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        sys.stderr.write(f"{module} is not installed and left out; the extra `bench` brings it\n")
    return found


def training(setting: "Setting", pictures: "Pictures") -> Contenders:
    """Those that train."""
    import train_contenders as trainers

    runs = {"limit": trainers.limit, "raydr": trainers.raydr, "plain_ddp": trainers.plain_ddp}
    if has_extra("lightly") and has_extra("lightning"):
        from lightly_contender import lightly

        runs["lightly"] = lightly
    return {name: functools.partial(run, setting, pictures) for name, run in runs.items()}


def feeding(setting: "Setting", pictures: "Pictures") -> Contenders:
    """Those that decode and make views."""
    import view_feeds as feeds

    runs = {"feed": feeds.feed, "plain_ddp_feed": feeds.plain_ddp_feed}
    if has_extra("lightly"):
        runs["lightly_feed"] = feeds.lightly_feed
    return {name: functools.partial(run, setting, pictures) for name, run in runs.items()}


def augmenting(setting: "Setting", pictures: "Pictures", repeats: int) -> Contenders:
    """Those that make views: all on one CPU core, those of tensors on the GPU too."""
    import augment_contenders as augments
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    from raydr.images.augment import augmentation

    ranges, side = augmentation(setting.preset), setting.side_px
    makers = {
        "augment": augments.raydr_views(ranges),
        "torchvision": augments.torchvision_views(ranges, side),
        "torchvision_pillow": augments.pillow_views(ranges, side),
    }
    if has_extra("kornia"):
        makers["kornia"] = augments.kornia_views(ranges, side, one_warp=False)
        makers["kornia_affine"] = augments.kornia_views(ranges, side, one_warp=True)
    small = v2.Compose([v2.Resize(side), v2.PILToTensor()])
    image = torch.stack([small(Image.open(file).convert("RGB")) for file in pictures.first(setting.batch_size)])
    places = {"": image} | ({" on the GPU": image.cuda()} if setting.use_gpu else {})

    def measured(views: augments.Views, place: torch.Tensor) -> Mapping[str, float]:
        return {"views_per_s": augments.views_per_s(views, place, repeats=repeats, threads=1)}

    return {
        f"{name}{where}": functools.partial(measured, views, place)
        for where, place in places.items()
        for name, views in makers.items()
        if not (where and name == "torchvision_pillow")
    }


def figures_of(contenders: Contenders, *, rounds: int) -> dict[str, Figure]:
    """What interleaved rounds measure, by the names that tables have."""
    found = interleaved(contenders, rounds=rounds)
    return {
        name + suffix: Figure(unit, by_figure[figure])
        for figure, (suffix, unit) in _UNITS.items()
        for name, by_figure in found.items()
        if figure in by_figure
    }


def setting_of(options: argparse.Namespace) -> "Setting":
    """What the options say; what they leave open depends on the device, and on whether it is only a trial."""
    import torch
    from train_setting import Setting

    use_gpu, cpus = torch.cuda.is_available() and not options.cpu, os.cpu_count() or 1
    quick = options.quick
    return Setting(
        backbone=options.backbone or ("test_resnet" if quick else "resnet18"),
        side_px=options.side_px or (64 if quick else 224),
        batch_size=options.batch_size or (8 if quick else 64),
        steps=options.steps or (3 if quick else 100 if use_gpu else 5),
        workers=options.workers,
        threads=options.threads or max(1, cpus // options.workers),
        loaders=options.loaders or cpus,
        precision=options.precision,
        use_gpu=use_gpu,
    )


def measured(setting: "Setting", pictures: "Pictures", options: argparse.Namespace) -> dict[str, Figure]:
    """Every part's figures; each part's contenders are interleaved with one another."""
    rounds = options.rounds or (1 if options.quick else 5)
    figures: dict[str, Figure] = {}
    if "augment" in options.parts:
        figures |= figures_of(augmenting(setting, pictures, 1 if options.quick else 4), rounds=rounds)
    if "feed" in options.parts:
        alone = dataclasses.replace(setting, workers=1, steps=feed_steps(setting, options))
        figures |= figures_of(feeding(alone, pictures), rounds=rounds)
    if "step" in options.parts:
        import torch
        from step_costs import costs, peak_tflops

        peak = options.peak_tflops
        if peak is None and setting.use_gpu and setting.precision == "bf16":
            peak = peak_tflops(torch.cuda.get_device_name())
        figures |= figures_of(costs(setting, peak), rounds=rounds)
    if "train" in options.parts:
        figures |= figures_of(training(setting, pictures), rounds=rounds)
    return figures


def feed_steps(setting: "Setting", options: argparse.Namespace) -> int:
    """Batches of a feed: many, since what is read ahead must be little beside them."""
    return setting.steps if options.quick else max(setting.steps, 40)


def options_of() -> argparse.Namespace:
    """The command line."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--originals", type=Path, help="folder of photographs to make the pictures from; else phantoms")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (all)")
    parser.add_argument("--backbone", help="network of timm (resnet18)")
    parser.add_argument("--side-px", type=int, help="side of the network's input (224)")
    parser.add_argument("--batch-size", type=int, help="images a step over all workers, two views each (64)")
    parser.add_argument("--steps", type=int, help="an epoch, of which the second is timed (5, on a GPU 100)")
    parser.add_argument("--workers", type=int, default=1, help="trainers, on a GPU each where there are some (1)")
    parser.add_argument("--threads", type=int, help="of torch in every trainer (CPUs by workers)")
    parser.add_argument("--loaders", type=int, help="processes that decode (CPUs)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--peak-tflops", type=float, help="of the device in this precision; else known GPUs' in bf16")
    parser.add_argument("--cpu", action="store_true", help="leave the GPU alone")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    options = options_of()
    from raydr.workflows.environment import set_environment

    set_environment(None)
    from train_setting import write_pictures

    from raydr.config.site import ClusterSettings
    from raydr.workflows.cluster import connected

    setting = setting_of(options)
    shared = Path("../shared/data/originals")
    scratch = Path(tempfile.mkdtemp(prefix="raydr-bench-"))
    try:
        count = setting.batch_size * max(setting.steps, feed_steps(setting, options))
        with connected(ClusterSettings(local_cpus=setting.loaders, object_store_mib=1000)):
            sys.stderr.write(f"preparing {count} pictures\n")
            pictures = write_pictures(
                scratch,
                options.originals or (shared if shared.is_dir() else None),
                distinct=setting.batch_size if options.quick else max(setting.batch_size, 256),
                num_images=count,
            )
            figures = measured(setting, pictures, options)
    finally:
        shutil.rmtree(scratch)
    publish(figures, RATIOS, file=options.json)


if __name__ == "__main__":
    main()
