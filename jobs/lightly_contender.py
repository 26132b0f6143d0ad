"""The contender of `bench_train.py` that has lightly's transform and loss and Lightning's Trainer."""

import json
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import lightning
import torch
from lightly.loss import NTXentLoss
from lightly.transforms import SimCLRTransform
from torch import Tensor, nn
from torch.utils.data import DataLoader
from train_contenders import PictureFiles, embedding_network, file_batches
from train_setting import Pictures, Setting

from raydr.images.augment import augmentation


def lightly(setting: Setting, pictures: Pictures) -> Mapping[str, float]:
    """Images a second in the second epoch, and the seconds that are no epoch's, in a fresh process."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="raydr-bench-") as folder:
        torch.multiprocessing.spawn(_fit, (setting, pictures.first(setting.num_images), folder), nprocs=1)
        seconds = json.loads((Path(folder) / "seconds.json").read_text())
    elapsed = time.perf_counter() - started
    return {"images_per_s": setting.num_images / seconds[-1], "start_up_s": elapsed - sum(seconds)}


def lightly_files(setting: Setting, files: Sequence[str]) -> PictureFiles:
    """Two views by lightly of each file: its crop, turn, mirrors, jitter, grey and blur; it has no gamma."""
    ranges = augmentation(setting.preset)
    colour, warp = ranges.colour, ranges.warp
    transform = SimCLRTransform(
        input_size=setting.side_px,
        cj_prob=colour.probability,
        cj_strength=1.0,
        cj_bright=colour.brightness,
        cj_contrast=colour.contrast,
        cj_sat=colour.saturation,
        cj_hue=colour.hue,
        min_scale=warp.area[0],
        random_gray_scale=colour.greyscale,
        gaussian_blur=ranges.blur_probability,
        sigmas=tuple(share * setting.side_px for share in ranges.blur_sigma),
        hf_prob=warp.horizontal_flip,
        vf_prob=warp.vertical_flip,
        rr_prob=float(warp.max_rotation_deg > 0),
        rr_degrees=warp.max_rotation_deg,
        normalize=None,  # the network normalises for itself
    )
    return PictureFiles(files, transform)


class _Simclr(lightning.LightningModule):
    """SimCLR as lightly's examples have it, on the network of the other contenders."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._setting = setting
        self.network: nn.Module = embedding_network(setting)
        self.criterion = NTXentLoss(temperature=setting.temperature, gather_distributed=setting.workers > 1)

    def training_step(self, batch: Sequence[Tensor], _: int) -> Tensor:
        first, second = self.network(torch.cat(tuple(batch))).float().chunk(2)
        loss: Tensor = self.criterion(first, second)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        setting = self._setting
        return torch.optim.AdamW(self.parameters(), lr=setting.learning_rate, weight_decay=setting.weight_decay)


class _Clock(lightning.Callback):
    """An epoch's seconds, from the one's end to the next one's."""

    def __init__(self, file: Path) -> None:
        self._file, self._ends = file, []

    def _settled(self, trainer: lightning.Trainer) -> float:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._ends.append(self._settled(trainer))

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._ends.append(self._settled(trainer))

    def on_train_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        if trainer.global_step != 2 * trainer.num_training_batches:
            raise RuntimeError(f"{trainer.global_step} steps were made, twice {trainer.num_training_batches} were due")
        if trainer.is_global_zero:
            seconds = [end - start for start, end in zip(self._ends, self._ends[1:], strict=False)]
            self._file.write_text(json.dumps(seconds))


class _Loaded(lightning.LightningDataModule):
    """A worker's batches, made once the worker knows its rank."""

    def __init__(self, setting: Setting, files: Sequence[str]) -> None:
        super().__init__()
        self._setting, self._files = setting, files

    def train_dataloader(self) -> DataLoader:
        rank = 0 if self.trainer is None else self.trainer.global_rank
        return file_batches(self._setting, lightly_files(self._setting, self._files), rank)[0]


def _fit(_: int, setting: Setting, files: Sequence[str], folder: str) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(setting.threads)
    torch.manual_seed(0)
    trainer = lightning.Trainer(
        accelerator="gpu" if setting.use_gpu else "cpu",
        devices=setting.workers,
        strategy="ddp_spawn" if setting.workers > 1 else "auto",
        precision="bf16-mixed" if setting.precision == "bf16" else "32-true",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[_Clock(Path(folder) / "seconds.json")],
        default_root_dir=folder,
    )
    trainer.fit(_Simclr(setting), datamodule=_Loaded(setting, files))
