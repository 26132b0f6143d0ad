"""Settings of the data: where photographs and labels come from, and how a photograph becomes an input."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from raydr.config.section import Fraction, PositiveFloat, PositiveInt, Section, Seed

Side = Annotated[int, Field(ge=16, le=2048)]


class RetinaSettings(Section):
    """How the retina is taken out of a photograph."""

    crop: bool = True
    """Find the retinal disc and crop a square around it."""
    enhance: Literal["none", "equalize", "clahe", "graham"] = "none"
    max_megapixels: PositiveFloat = 200.0
    """Larger pictures are quarantined unread."""


class PreprocessSettings(RetinaSettings):
    """How a photograph becomes a square input, the same in every stage and stored with the model."""

    side_px: Side = 224


class CsvColumns(Section):
    """The columns of a generic label file."""

    image: str = "image"
    """File name or path below the images folder, with or without its suffix."""
    grade: str = "grade"
    patient: str | None = None
    """Null: every image is its own patient."""
    eye: str | None = None
    split: str | None = None


class SourceSettings(Section):
    """One dataset: a folder of photographs and its label file."""

    layout: Literal["eyepacs", "csv"]
    """`eyepacs`: `image,level` and `<patient>_{left,right}.jpeg`; `csv`: any columns, named in `columns`."""
    images: str
    """Folder of the photographs."""
    labels: str
    """CSV file of the labels."""
    splits: str | None = None
    """CSV file `image,split` with train, val and test; null draws the splits by patient."""
    role: Literal["internal", "external"] = "internal"
    """An external set is only ever tested on."""
    columns: CsvColumns = CsvColumns()
    missing: Literal["error", "drop"] = "error"
    """What a label without its image is: an error, or a row left out and counted."""


class SplitSettings(Section):
    """How patients are dealt to train, val and test where no file says so."""

    val_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.2
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_training_patients(self) -> Self:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction + test_fraction must leave patients for training (below 1)")
        return self


class BudgetSettings(Section):
    """How many labels of the training patients may be used; drawn by patient, nested for one seed."""

    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the training images; 0.02 where no count is given either."""
    count: PositiveInt | None = None
    """Number of training images."""
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _two_percent_by_default(cls, data: Any) -> Any:
        """A file that sets only the seed keeps the default share."""
        chosen = isinstance(data, dict) and ("fraction" in data or "count" in data)
        return data if chosen or not isinstance(data, dict) else {"fraction": 0.02, **data}

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.fraction is None) == (self.count is None):
            raise ValueError("exactly one of fraction and count must be set")
        return self


class DataSettings(Section):
    """The images a stage reads."""

    manifest: str
    """`manifest.parquet` of `index`."""
    budget: str | None = None
    """`budget.parquet` of `index`: whose training labels may be used."""
    shards: str | None = None
    """Folder of `prepare`; null streams and decodes the original photographs."""
