"""The contenders of `bench_predict.py`: seconds that each takes for so many of the files."""

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from raydr import storage
from raydr.engine.package import LoadedModel, ModelDescription, load_model, save_model
from raydr.images.preprocess import Preprocess
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier, referable_probability

_BATCH = 64
_model: LoadedModel


def write_model(folder: str, backbone: str, side_px: int) -> str:
    """A classifier of five grades that has learnt nothing, which is as fast as any."""
    torch.manual_seed(0)
    network = Classifier(create_backbone(backbone), 5)
    save_model(folder, network, ModelDescription(backbone, "grades", Preprocess(side_px=side_px)))
    return folder


def predict(paths: list[str], model: str, num_processes: int, count: int) -> float:
    """Raydr's own, all of the verb."""
    del num_processes  # the cluster has that many CPUs
    from raydr.config.jobs import PredictSettings
    from raydr.workflows.predict import predict as run

    with tempfile.TemporaryDirectory(prefix="raydr-bench-") as scratch:
        listing = pa.table({"image_id": [str(number) for number in range(count)], "uri": _cycled(paths, count)})
        storage.write_table(f"{scratch}/listing.parquet", listing)
        settings = PredictSettings.model_validate(
            {
                "job": "predict",
                "model": model,
                "images": f"{scratch}/listing.parquet",
                "out": f"{scratch}/scores.parquet",
                "batch_size": _BATCH,
                "tracking": {"enabled": False},
            }
        )
        started = time.perf_counter()
        result = run(settings)
        seconds = time.perf_counter() - started
    return _checked(result.metrics["num_images"] - result.metrics["num_failed"], count, seconds)


def loop(paths: list[str], model: str, num_processes: int, count: int) -> float:
    """A loop in bare processes, each over its share of the files."""
    chosen = _cycled(paths, count)
    batches = [chosen[start : start + _BATCH] for start in range(0, count, _BATCH)]
    started = time.perf_counter()
    with ProcessPoolExecutor(
        num_processes, mp_context=multiprocessing.get_context("spawn"), initializer=_load, initargs=(model,)
    ) as pool:
        done = sum(map(len, pool.map(_score, batches)))
    return _checked(done, count, time.perf_counter() - started)


def _load(model: str) -> None:
    global _model  # noqa: PLW0603  # one for each process
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    _model = load_model(model)


@torch.inference_mode()
def _score(paths: list[str]) -> list[float]:
    pictures = np.stack([_model.preprocess(Path(path).read_bytes()) for path in paths])
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
    return referable_probability(_model.network(images)).tolist()


def _cycled(paths: list[str], count: int) -> list[str]:
    return [paths[number % len(paths)] for number in range(count)]


def _checked(done: int, count: int, seconds: float) -> float:
    if done != count:
        raise RuntimeError(f"{done} of {count} images were scored")
    return seconds
