"""The served model: photographs as JPEG bytes in, probabilities out, with every step between inside.

MLflow stores this file with a model and runs it to load one ("models from code"), so that nothing is pickled. It runs
outside this package as well and must not depend on where it lies.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, Final

import mlflow.models
import numpy as np
import pandas as pd
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from raydr.engine.package import LoadedModel, load_model
from raydr.images.jpeg import UnreadableImageError
from raydr.models.classifier import grade_probabilities, referable_probability

_BATCH: Final = 32


class FundusModel(PythonModel):
    """A classifier of fundus photographs for `mlflow.pyfunc` and `mlflow models serve`."""

    _model: LoadedModel
    _device: torch.device

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder that is stored beside this file."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = load_model(context.artifacts["model"])
        self._model.network.to(self._device)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Score photographs.

        Args:
            context: Unused.
            model_input: Column ``image``: whole JPEG, PNG or TIFF files as bytes, or base64 text of them.
            params: Unused.

        Returns:
            One row a photograph: ``probability`` of referable retinopathy (ICDR grade 2 or worse), ``grade_0`` to
            ``grade_4`` where the model knows grades, and ``error``: null, or why there is no probability (null then).
        """
        inputs, errors = self._prepare(list(model_input["image"]))
        is_sound = np.array([error is None for error in errors], dtype=bool)
        scores = np.full((len(errors), 6 if self._model.head == "grades" else 1), np.nan)
        if inputs:
            scores[is_sound] = np.concatenate(list(self._score(inputs)))
        names = ["probability", *(f"grade_{grade}" for grade in range(scores.shape[1] - 1))]
        table = pd.DataFrame(scores, columns=names, index=model_input.index)
        if not is_sound.all():  # a server writes NaN as it is, which is no JSON; None becomes null
            table = table.astype(object).where(table.notna(), None)
        table["error"] = pd.Series(errors, index=model_input.index, dtype=object)
        return table

    def _prepare(self, images: list[object]) -> tuple[list[NDArray[np.uint8]], list[str | None]]:
        inputs: list[NDArray[np.uint8]] = []
        errors: list[str | None] = []
        for image in images:
            try:
                inputs.append(self._model.preprocess(_bytes(image)))
                errors.append(None)
            except UnreadableImageError as error:
                errors.append(str(error))
        return inputs, errors

    def _score(self, inputs: list[NDArray[np.uint8]]) -> Iterator[NDArray[np.float64]]:
        for start in range(0, len(inputs), _BATCH):
            pixels = torch.from_numpy(np.stack(inputs[start : start + _BATCH])).to(self._device)
            with torch.inference_mode():
                logits = self._model.network(pixels.permute(0, 3, 1, 2).float().div(255))
                columns = [referable_probability(logits)[:, None]]
                grades = grade_probabilities(logits)
                columns += [] if grades is None else [grades]
                yield torch.cat(columns, dim=1).double().cpu().numpy()


def _bytes(image: object) -> bytes:
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, str):
        try:
            return base64.b64decode("".join(image.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise UnreadableImageError("not_base64", str(error)) from error
    raise UnreadableImageError("empty", "no bytes")


mlflow.models.set_model(FundusModel())
