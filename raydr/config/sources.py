"""Settings of the data: which datasets, how their images are split, how many labels may be used."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from raydr.config.section import Fraction, PositiveInt, Section, Seed


class _Source(Section):
    role: Literal["internal", "external"] = "internal"
    """An external set is only ever tested on."""
    missing: Literal["error", "drop"] = "error"
    """What a label without its image is: an error, or a row left out and counted."""


class _PublicSource(_Source):
    allow_partial: bool = False
    """Go on where the labels are not as many as published: a subset, or an unfinished download."""


class CsvColumns(Section):
    """The columns of a generic label file."""

    image: str = "image"
    """File name or path below the images folder, with or without its suffix."""
    grade: str = "grade"
    patient: str | None = None
    """Null: every image is its own patient."""
    eye: str | None = None
    split: str | None = None


class CsvSource(_Source):
    """Any dataset: a folder of photographs and a CSV file whose columns are named in `columns`."""

    layout: Literal["csv"]
    images: str
    """Folder of the photographs."""
    labels: str
    """CSV file of the labels."""
    splits: str | None = None
    """CSV file `image,split` with train, val and test; null draws the splits by patient."""
    columns: CsvColumns = CsvColumns()


class EyepacsSource(_PublicSource):
    """EyePACS, Kaggle Diabetic Retinopathy Detection 2015: `image,level` and `<patient>_{left,right}.jpeg`."""

    layout: Literal["eyepacs"]
    images: str
    """Folder of the train part's photographs."""
    labels: str
    """`trainLabels.csv`."""
    test_images: str | None = None
    """Folder of the test part's photographs; with it and `test_labels` the parts are the train and the test split."""
    test_labels: str | None = None
    """`retinopathy_solution.csv`, `image,level,Usage`."""
    test_usage: Literal["Public", "Private"] | None = None
    """Only the test images of this `Usage` (of Kaggle's two leaderboards) are graded; null: all are."""
    gradability: str | None = None
    """`image_name gradability`, blank-separated: the grades of gradability by Voets et al."""
    splits: str | None = None
    """CSV file `image,split` with train, val and test; null draws the splits by patient."""

    @model_validator(mode="after")
    def _test_part_is_whole(self) -> Self:
        if (self.test_images is None) != (self.test_labels is None):
            raise ValueError("test_images and test_labels go together; set both or neither")
        if self.test_images is not None and self.splits is not None:
            raise ValueError("test_images makes the test part the test split; remove it or splits")
        return self


class Messidor2Source(_PublicSource):
    """Messidor-2 with one of its two reference standards."""

    layout: Literal["messidor2"]
    root: str
    """Folder that the dataset unpacks to; the names below are relative to it."""
    images: str = "IMAGES"
    labels: str = "messidor_data.csv"
    """Google's adjudicated grades of each image."""
    pairs: str = "messidor-2.csv"
    """The two images of each exam, `left;right`."""
    exams: str = "abramoff-messidor-2-refstandard-jul16.csv"
    """Whether an exam is referable, `examid,rDR`."""
    label_source: Literal["images", "exams"] = "images"
    """`images`: the grades in `labels`; `exams`: no grades, but the referable exams in `exams`, as `exams.parquet`."""


class Aptos2019Source(_PublicSource):
    """APTOS 2019 Blindness Detection (Kaggle): `id_code,diagnosis`."""

    layout: Literal["aptos2019"]
    root: str
    """Folder that the dataset unpacks to; the names below are relative to it."""
    images: str = "train_images"
    labels: str = "train.csv"


class IdridSource(_PublicSource):
    """IDRiD, B. Disease Grading."""

    layout: Literal["idrid"]
    root: str
    """Folder that the dataset unpacks to: `B. Disease Grading`, or the folder around it."""


class DdrSource(_PublicSource):
    """DDR, DR_grading; grade 5 is ungradable."""

    layout: Literal["ddr"]
    root: str
    """Folder that the dataset unpacks to: `DDR-dataset`, `DR_grading` in it, or the folder around it."""


class DeepdridSource(_PublicSource):
    """DeepDRiD, regular fundus images."""

    layout: Literal["deepdrid"]
    root: str
    """Folder of the dataset: `regular_fundus_images`, or the folder around it."""


SourceSettings = Annotated[
    EyepacsSource | Messidor2Source | Aptos2019Source | IdridSource | DdrSource | DeepdridSource | CsvSource,
    Field(discriminator="layout"),
]
"""One dataset; `layout` says which, and so which keys it has."""


class SplitSettings(Section):
    """How images come into train, val and test."""

    kind: Literal["official", "patient", "voets"] = "official"
    """`official`: the splits that a dataset comes with, val dealt from its train patients where it has none; without
    splits it is dealt by patient. `patient`: all dealt anew by patient. `voets`: EyePACS as in arXiv 2208.02408, by
    image and only to compare: most test patients are in train."""
    val_fraction: Fraction = 0.15
    """Share of the patients; of those that are not in test already where a dataset or a fold says who is."""
    test_fraction: Fraction = 0.2
    """Share of the patients of a dataset without splits; not used with folds."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Number of folds of `patient`; null deals by fractions."""
    fold: Annotated[int, Field(ge=0)] | None = None
    """The fold that is the test split, from 0."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_training_patients(self) -> Self:
        if self.val_fraction + (self.test_fraction if self.folds is None else 0) >= 1:
            raise ValueError("val_fraction + test_fraction must leave patients for training (below 1)")
        return self

    @model_validator(mode="after")
    def _fold_is_one_of_the_folds(self) -> Self:
        if (self.folds is None) != (self.fold is None):
            raise ValueError("folds and fold go together; set both or neither")
        if self.folds is None or self.fold is None:
            return self
        if self.kind != "patient":
            raise ValueError(f'folds are for kind = "patient" (got {self.kind!r})')
        if self.fold >= self.folds:
            raise ValueError(f"fold counts from 0 and must be below folds ({self.folds}) (got {self.fold})")
        return self


class BudgetSettings(Section):
    """How many labels of the training patients may be used; drawn by patient, nested for one seed and balance."""

    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the training images; 0.02 where no count is given either."""
    count: PositiveInt | None = None
    """Number of training images."""
    balanced: bool = False
    """As many referable images as others, as in arXiv 2208.02408; else the classes are as frequent as they come."""
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
