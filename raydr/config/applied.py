"""What is done with trained models: photographs scored, two compared, one exported."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from raydr.config.section import PositiveInt, Section


class PredictStage(Section):
    """Scores of new photographs."""

    out: str
    """The file of the scores, `.parquet` or `.csv`; its `result.json` lies beside it."""
    model: str
    """Checkpoint folder, or an MLflow model URI (`models:/raydr@champion`)."""
    images: str
    """A folder, a glob or a manifest (`.parquet`) of photographs."""
    batch_size: PositiveInt = 64
    images_per_part: PositiveInt = 2048
    """How many photographs a prediction that is cut off may have to score again."""
    heat_maps: bool = False
    """A JPEG of every photograph as the network gets it, with what speaks for referable retinopathy in colour, in a
    folder beside the scores; the column `heat_map` names it. Each takes one more pass through the network and back."""

    @field_validator("out")
    @classmethod
    def _is_a_table(cls, out: str) -> str:
        if not is_table(out):
            raise ValueError(f"must be a file that ends with .parquet or .csv (got {out!r})")
        return out


class CompareStage(Section):
    """Two models on the same patients."""

    first: str
    """`out` of a finished `evaluate`, or a file of scores (`.parquet` or CSV): `image_id`, `probability`; `grade`, or
    `exam_id` and `exam_referable` where exams have a reference and images no grades (in one of the two at least); and,
    where known, `dataset`, `split` and `patient_id`, which it then gives to both."""
    second: str
    """The same of the other model. Differences are the first one's AUC less this one's."""
    split: Literal["test", "val"] = "test"
    """Which images: all but the training and the validation ones, or those of the validation patients, by which alone
    a model should be chosen."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of the intervals."""
    method: Literal["delong", "bootstrap"] = "delong"
    """Of the intervals and p: DeLong's formula over patients (Obuchowski's form of it), or 2000 resamples of the
    patients, drawn by the seed."""


class ExportStage(Section):
    """A model as one file for other programs."""

    model: str
    """Checkpoint folder, or an MLflow model URI (`models:/raydr@champion`)."""
    format: Literal["onnx", "torch-export"] = "onnx"
    """`onnx`: `model.onnx` for ONNX Runtime and others, no pickle in it. `torch-export`: `model.pt2` for
    `torch.export.load`, a zip archive of torch's own, which reads parts of it as pickles."""
    images: str | None = None
    """Photographs (a folder, a glob or a manifest) on which the exported model must compute what the original does;
    the first 16 that can be read are taken. Null: made-up eyes."""


def is_table(out: str) -> bool:
    """Whether results are one file, with what else there is of them beside it, and no folder."""
    return out.endswith((".parquet", ".csv"))
