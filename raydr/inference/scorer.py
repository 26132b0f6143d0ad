"""The networks in an actor, and what they make of a batch."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import pyarrow as pa
import ray
import torch
from numpy.typing import NDArray

from raydr import storage
from raydr.data.blocks import ColumnBatch
from raydr.data.decoding import decode_with_errors
from raydr.engine.heatmap import heat_map, overlay
from raydr.engine.package import NUM_OUTPUTS, load_model
from raydr.engine.score import mean_logits
from raydr.images.dihedral import NumViews

_LONGEST_STEM: Final = 100  # characters: file systems end at 255 bytes


class Scorer:
    """The networks in an actor.

    Args:
        folders: The models' folders; their logits are averaged.
        num_views: Views over which the logits are averaged.
        batch_size: Images the networks get at once.
        heat_maps: Folder for the first network's heat maps over the pictures; None: they are not wanted.
    """

    def __init__(self, folders: Sequence[str], num_views: NumViews, batch_size: int, heat_maps: str | None) -> None:
        models = [load_model(folder) for folder in folders]
        self._preprocess = models[0].preprocess
        self._num_outputs = NUM_OUTPUTS[models[0].head]
        self._num_views, self._batch_size, self._heat_maps = num_views, batch_size, heat_maps
        has_gpu = ray.get_gpu_ids() and torch.cuda.is_available()
        self._device = torch.device("cuda" if has_gpu else "cpu")
        self._networks = [model.network.to(self._device) for model in models]

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> ColumnBatch:
        """``row``, ``logits`` and ``error`` of decoded pictures, or of photographs (``row``, ``uri``)."""
        if "image" not in batch:
            chunk = pa.table({"row": batch["row"], "uri": pa.array(batch["uri"], pa.string())})
            batch = decode_with_errors(chunk, preprocess=self._preprocess)
        errors = batch.get("error", np.full(len(batch["row"]), "", dtype=object))
        logits = np.zeros((len(errors), self._num_outputs), dtype=np.float32)
        good = np.flatnonzero(errors == "")
        for start in range(0, len(good), self._batch_size):
            chosen = good[start : start + self._batch_size]
            image = torch.from_numpy(np.ascontiguousarray(batch["image"][chosen])).to(self._device)
            logits[chosen] = self._logits(image)
            if self._heat_maps is not None:
                self._draw(image, batch["uri"][chosen], self._heat_maps)
        return {"row": batch["row"], "logits": logits, "error": errors}

    @torch.inference_mode()
    def _logits(self, image: torch.Tensor) -> NDArray[np.float32]:
        return mean_logits(self._networks, image.float().div_(255), self._num_views).cpu().numpy()

    def _draw(self, images: torch.Tensor, uris: NDArray[Any], folder: str) -> None:
        for image, uri in zip(images, uris, strict=True):
            heat = heat_map(self._networks[0], image.float() / 255)
            picture = image.permute(1, 2, 0).cpu().numpy()
            storage.write_bytes(storage.join(folder, heat_map_name(uri)), overlay(picture, heat))


def heat_map_name(uri: str) -> str:
    """The file name of a photograph's heat map: the photograph's own, told apart from its namesakes' elsewhere."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", PurePosixPath(uri).stem)[:_LONGEST_STEM]
    return f"{stem}-{hashlib.sha256(uri.encode()).hexdigest()[:8]}.jpeg"
