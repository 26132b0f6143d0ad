"""The training benchmark: its arithmetic, its contenders' views, and the quick path of what needs no cluster."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from raydr.images.augment import augmentation
from raydr.images.jpeg import encode
from raydr.images.phantom import draw_phantom

JOBS = Path(__file__).parents[2] / "jobs"
needs_lightly = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("lightly", "lightning"))), reason="needs lightly, of the extra `bench`"
)


@pytest.fixture(autouse=True)
def jobs_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(JOBS))


@pytest.fixture
def setting():
    from train_setting import Setting

    return Setting(
        backbone="test_resnet",
        side_px=32,
        batch_size=4,
        steps=2,
        workers=1,
        threads=1,
        loaders=1,
        precision="fp32",
        use_gpu=False,
    )


@pytest.fixture
def pictures(tmp_path):
    from train_setting import Pictures

    files = [tmp_path / f"{number}.jpeg" for number in range(8)]
    for number, file in enumerate(files):
        file.write_bytes(encode(draw_phantom(patient_seed=number, eye="left", grade=number % 5, side_px=64)))
    return Pictures("no shards", [str(file) for file in files])


def test_flops_are_those_of_a_matrix_product_forward_and_backward():
    from step_costs import step_flops

    network = nn.Linear(8, 16, bias=False)
    # A product of [4, 8] and [8, 16] forward; backward another for the weights, none for views that need no gradient.
    assert step_flops(network, torch.rand(4, 8)) == 2 * (2 * 4 * 8 * 16)
    assert network.weight.grad is None


def test_utilisation_is_percent_of_the_peak():
    from step_costs import utilisation

    assert utilisation(5e12, 0.5, 100.0) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989.0), ("NVIDIA H100 PCIe", 756.0), ("NVIDIA L40S", 362.0), ("X", None)],
)
def test_a_devices_peak_is_found_by_its_name(name, peak):
    from step_costs import peak_tflops

    assert peak_tflops(name) == peak


def test_step_and_forward_backward_are_timed_and_their_utilisation_agrees_with_their_rate(setting):
    from step_costs import costs

    found = {name: run() for name, run in costs(setting, peak=0.01).items()}
    assert set(found) == {"forward_backward", "step"}
    per_image = [one["mfu"] / one["images_per_s"] for one in found.values()]
    assert per_image[0] == pytest.approx(per_image[1])
    assert min(per_image) > 0
    assert "mfu" not in costs(setting, peak=None)["step"]()


@pytest.mark.parametrize("maker", ["raydr", "torchvision", "pillow", "kornia", "kornia_affine"])
def test_all_libraries_views_are_as_strong(maker):
    import augment_contenders as augments

    if maker.startswith("kornia"):
        pytest.importorskip("kornia", reason="needs the extra `bench`")
    torch.manual_seed(0)
    ranges, side = augmentation("weak_medium"), 48
    made = {
        "raydr": lambda: augments.raydr_views(ranges),
        "torchvision": lambda: augments.torchvision_views(ranges, side),
        "pillow": lambda: augments.pillow_views(ranges, side),
        "kornia": lambda: augments.kornia_views(ranges, side, one_warp=False),
        "kornia_affine": lambda: augments.kornia_views(ranges, side, one_warp=True),
    }[maker]()
    phantom = draw_phantom(patient_seed=1, eye="left", grade=3, side_px=side)
    image = torch.from_numpy(np.ascontiguousarray(phantom.transpose(2, 0, 1))).expand(256, -1, -1, -1)
    own = augments.raydr_views(ranges)(image)
    views = made(image.contiguous())
    assert views.shape == image.shape
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 1

    def change(some: torch.Tensor) -> float:
        return (some - image / 255).abs().mean().item()

    assert change(views) == pytest.approx(change(own), rel=0.2)


@pytest.mark.pipeline
@pytest.mark.parametrize(("name", "workers"), [("limit", 1), ("plain_ddp", 2)])
def test_contenders_train_and_tell_rate_and_start_up(setting, pictures, name, workers):
    import train_contenders

    run = getattr(train_contenders, name)
    figures = run(dataclasses.replace(setting, workers=workers, loaders=workers), pictures)
    assert set(figures) == {"images_per_s", "start_up_s"}
    assert min(figures.values()) > 0


@pytest.mark.pipeline
def test_a_feed_of_files_is_timed(setting, pictures):
    from view_feeds import plain_ddp_feed

    assert min(plain_ddp_feed(setting, pictures).values()) > 0


@needs_lightly
def test_lightly_trains_and_feeds(setting, pictures):
    from lightly_contender import lightly
    from view_feeds import lightly_feed

    assert min(lightly(setting, pictures).values()) > 0
    assert min(lightly_feed(setting, pictures).values()) > 0


@needs_lightly
def test_lightlys_loss_is_ours():
    from lightly.loss import NTXentLoss

    from raydr.losses.contrastive import nt_xent

    z = torch.randn(12, 7, generator=torch.Generator().manual_seed(0))
    own = torch.arange(12)
    expected = NTXentLoss(temperature=0.2)(*z.chunk(2))
    torch.testing.assert_close(nt_xent(z, z, own=own, twin=own.roll(6), temperature=0.2), expected)


def test_a_part_alone_writes_the_json_that_all_benchmarks_write(setting, pictures, tmp_path, monkeypatch):
    import bench_train
    from benchmark import publish

    monkeypatch.setattr(sys, "argv", ["bench_train.py", "--quick", "--parts", "augment", "step", "--threads", "1"])
    options = bench_train.options_of()
    figures = bench_train.measured(dataclasses.replace(setting, steps=1), pictures, options)
    publish(figures, bench_train.RATIOS, file=tmp_path / "figures.json")
    content = json.loads((tmp_path / "figures.json").read_text())
    assert set(content) == {"command", "machine", "date", "contenders", "ratios"}
    for figure in content["contenders"].values():
        assert set(figure) == {"unit", "median", "min", "max", "runs"}
        assert figure["min"] <= figure["median"] <= figure["max"]
    assert {"augment/torchvision", "augment/torchvision_pillow", "step/forward_backward"} <= set(content["ratios"])
    contenders = content["contenders"]
    ratio = contenders["augment"]["median"] / contenders["torchvision"]["median"]
    assert content["ratios"]["augment/torchvision"] == pytest.approx(ratio)


def test_quick_takes_little_and_options_take_precedence(monkeypatch):
    import bench_train

    monkeypatch.setattr(sys, "argv", ["bench_train.py", "--quick", "--cpu", "--side-px", "96"])
    quick = bench_train.setting_of(bench_train.options_of())
    assert (quick.backbone, quick.side_px, quick.use_gpu) == ("test_resnet", 96, False)
    monkeypatch.setattr(sys, "argv", ["bench_train.py", "--cpu"])
    whole = bench_train.setting_of(bench_train.options_of())
    assert (whole.backbone, whole.side_px, whole.batch_size) == ("resnet18", 224, 64)
