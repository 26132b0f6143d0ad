"""Settings of the images: how a photograph becomes an input, and which of them a stage reads."""

from typing import Annotated, Literal

from pydantic import Field

from raydr.config.section import PositiveFloat, Section

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


class DataSettings(Section):
    """The images a stage reads."""

    manifest: str
    """`manifest.parquet` of `index`."""
    budget: str | None = None
    """`budget.parquet` of `index`: whose training labels may be used."""
    shards: str | None = None
    """Folder of `prepare`; null streams and decodes the original photographs."""
