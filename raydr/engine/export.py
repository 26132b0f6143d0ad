"""A classifier as one file for programs that have neither raydr nor its training code: ONNX or torch.export."""

import dataclasses
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raydr.engine.package import ModelDescription
from raydr.errors import InputError
from raydr.grades import GRADE_NAMES, REFERABLE_GRADE
from raydr.models.classifier import Classifier, grade_probabilities, referable_probability

ExportFormat = Literal["onnx", "torch-export"]
FILES: Final[Mapping[ExportFormat, str]] = {"onnx": "model.onnx", "torch-export": "model.pt2"}
METADATA: Final = "metadata.json"
"""Name of what is known of an exported model, beside it and inside it."""
_NEEDED: Final = ("onnx", "onnxruntime", "onnxscript")
_EXAMPLE_BATCH: Final = 2  # 1 would be taken for a constant
Run = Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]
"""Images [B, 3, S, S] to an exported model's outputs."""


class DeployedClassifier(nn.Module):
    """A classifier with all arithmetic around it: pixels as they are stored in, probabilities out."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network
        self.eval()

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Probabilities [B] of referable retinopathy and, where grades are known, [B, 5] of each, float32.

        Args:
            image: uint8 RGB [B, 3, S, S], as `raydr.images.preprocess` makes it.
        """
        logits = self.network(image.float() / 255)
        grades = grade_probabilities(logits)
        probability = referable_probability(logits)
        return (probability,) if grades is None else (probability, grades)


def check_export(export_format: ExportFormat) -> None:
    """Raise InputError where a library that the format needs is not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if export_format == "onnx" and missing:
        raise InputError(
            f"format: 'onnx' needs {', '.join(missing)}, which raydr's extra `export` brings "
            "(pip install 'raydr[export]'); 'torch-export' needs nothing more"
        )


def describe_export(description: ModelDescription, export_format: ExportFormat, *, version: str) -> dict[str, Any]:
    """What whoever runs the exported model must know, for JSON: input, outputs, preprocessing, labels, thresholds."""
    side = description.preprocess.side_px
    outputs = [{"name": "probability", "dtype": "float32", "shape": ["batch"], "range": [0, 1]}]
    outputs[0]["meaning"] = f"probability of referable diabetic retinopathy (ICDR grade {REFERABLE_GRADE} or worse)"
    if description.head == "grades":
        more = {"name": "grade_probabilities", "dtype": "float32", "shape": ["batch", len(GRADE_NAMES)]}
        outputs.append({**more, "range": [0, 1], "meaning": "probability of each ICDR grade, in the labels' order"})
    return {
        "raydr_version": version,
        "torch_version": str(torch.__version__),
        "format": export_format,
        "use": "Research use only, not a medical device.",
        "backbone": description.backbone,
        "head": description.head,
        "input": {
            "name": "image",
            "dtype": "uint8",
            "shape": ["batch", 3, side, side],
            "meaning": "RGB, 0 to 255; division by 255 and the network's mean and deviation are inside",
        },
        "outputs": outputs,
        "labels": list(GRADE_NAMES),
        "preprocess": dataclasses.asdict(description.preprocess),
        "preprocess_code": "raydr.images.preprocess.Preprocess(**preprocess)(photograph file's bytes) is [S, S, 3]",
        "thresholds": dict(description.thresholds),
        "provenance": dict(description.provenance),
    }


def write_export(
    network: Classifier, folder: Path, export_format: ExportFormat, *, side_px: int, metadata: Mapping[str, Any]
) -> Path:
    """Write the classifier into a local folder and return the file; a network above 1.5 GB gets a second one, ONNX's.

    Args:
        network: In evaluation mode on the CPU; its pixels' layout in memory is changed.
        folder: Where to.
        export_format: Of the file.
        side_px: Of the input; the size of a batch stays open.
        metadata: Kept inside the file too.
    """
    network.backbone.lay_channels_last(is_on=False)  # plain strides: what runs the graph chooses for itself
    deployed, path = DeployedClassifier(network), folder / FILES[export_format]
    example = torch.zeros(_EXAMPLE_BATCH, 3, side_px, side_px, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporters, about their own insides
        program = torch.export.export(deployed, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        if export_format == "torch-export":
            torch.export.save(program, path, extra_files={METADATA: json.dumps(metadata, indent=2)})
            return path
        _quiet()
        names = [output["name"] for output in metadata["outputs"]]
        onnx = torch.onnx.export(
            program, input_names=[metadata["input"]["name"]], output_names=names, dynamo=True, verbose=False
        )
    assert onnx is not None  # noqa: S101
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    onnx.model.metadata_props.update(texts)
    onnx.save(path)
    return path


def load_export(path: Path, export_format: ExportFormat) -> Run:
    """What runs an exported model on the CPU: ONNX Runtime, or torch."""
    if export_format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda image: [np.asarray(value) for value in session.run(None, {"image": image})]
    module = torch.export.load(path).module()

    def run(image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        with torch.inference_mode():
            return [value.numpy() for value in module(torch.from_numpy(image))]

    return run


def greatest_difference(
    network: Classifier, run: Run, images: NDArray[np.uint8], *, batch_sizes: Sequence[int]
) -> float:
    """How far an exported model's probabilities are from the classifier's at most, NaN where one is none.

    Args:
        network: In evaluation mode on the CPU.
        run: Of `load_export`.
        images: [N, 3, S, S]; the last batch of a size may be smaller.
        batch_sizes: Images at once, each size over all images.
    """
    with torch.inference_mode():
        expected = [value.numpy() for value in DeployedClassifier(network)(torch.from_numpy(images))]
    differences = []
    for size in batch_sizes:
        for start in range(0, len(images), size):
            chosen = slice(start, start + size)
            for own, theirs in zip(expected, run(images[chosen]), strict=True):
                is_alike = theirs.shape == own[chosen].shape
                differences.append(np.abs(own[chosen] - theirs).max() if is_alike else np.inf)
    return float(np.max(differences))


def _quiet() -> None:
    """Keep the exporters' announcements out of a log that people read."""
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
