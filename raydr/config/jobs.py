"""The settings of every verb; `job` names the verb, so a wrong file fails by name."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from raydr.config.images import (
    BudgetSettings,
    DataSettings,
    PreprocessSettings,
    RetinaSettings,
    Side,
    SourceSettings,
    SplitSettings,
)
from raydr.config.learning import (
    DistillationSettings,
    HeadSettings,
    ModelSettings,
    OptimSettings,
    Preset,
    ProbeSettings,
    SimclrSettings,
)
from raydr.config.section import Fraction, PositiveInt, Section
from raydr.config.site import ClusterSettings, TrackingSettings


class Job(Section):
    """What every verb has: a place for its results, a seed, a site."""

    out: str
    """Folder of the results; created, never overwritten by another job's."""
    seed: int = 0
    cluster: ClusterSettings = ClusterSettings()
    tracking: TrackingSettings = TrackingSettings()


class IndexStage(Section):
    """Images and labels into one manifest, splits and a label budget by patient, a leak audit."""

    sources: Annotated[dict[str, SourceSettings], Field(min_length=1)]
    """Datasets by name."""
    splits: SplitSettings = SplitSettings()
    budget: BudgetSettings = BudgetSettings(fraction=0.02)
    waive: tuple[Literal["identical_files"], ...] = ()
    """Findings of the leak audit that do not stop the job."""


class PrepareStage(Section):
    """Photographs into shards of small cropped JPEGs, the unreadable ones into quarantine."""

    side_px: Side = 512
    images_per_shard: PositiveInt = 2048
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 92
    max_bad_fraction: Fraction = 0.05
    """More unreadable photographs than this share fail the job."""


class PretrainStage(Section):
    """Self-supervised pretraining of the backbone on every training image."""

    model: ModelSettings = ModelSettings()
    method: SimclrSettings = SimclrSettings()
    optim: OptimSettings = OptimSettings(epochs=100, batch_size=256)
    augment: Preset = "weak_medium"
    probe: ProbeSettings = ProbeSettings()


class FinetuneStage(Section):
    """The teacher: a supervised network on the budget's labels."""

    model: ModelSettings = ModelSettings()
    head: HeadSettings = HeadSettings()
    optim: OptimSettings = OptimSettings(epochs=30, batch_size=64)
    augment: Preset = "weak"
    class_balance: bool = True
    """Weigh classes by the inverse of their frequency among the labels."""
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights are kept: the best on the validation patients, or the last."""


class DistillStage(Section):
    """The student: learns from the teacher on all training images and from the budget's labels."""

    model: ModelSettings = ModelSettings()
    distillation: DistillationSettings = DistillationSettings()
    optim: OptimSettings = OptimSettings(epochs=30, batch_size=64)
    augment: Preset = "weak"
    class_balance: bool = True
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights are kept: the best on the validation patients, or the last."""

    @model_validator(mode="after")
    def _learns_from_something(self) -> Self:
        weights = self.distillation
        if not (weights.soft_weight or weights.hard_weight or weights.label_weight):
            raise ValueError("distillation: soft_weight, hard_weight and label_weight are all 0: nothing to learn from")
        return self


class Uniform(Section):
    """A number drawn evenly between two bounds, or evenly in its logarithm."""

    kind: Literal["uniform", "loguniform"]
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.kind == "loguniform" and self.low <= 0):
            raise ValueError("low must be below high, and above 0 for loguniform")
        return self


class Choice(Section):
    """One of several values."""

    kind: Literal["choice"]
    values: Annotated[tuple[Any, ...], Field(min_length=1)]


class SearchStage(Section):
    """Distillation settings searched in parallel on the validation patients' AUC, the best refitted."""

    trials: PositiveInt = 16
    max_parallel: PositiveInt | None = None
    """Null: as many trials as the cluster has room for."""
    cpus_per_trial: Annotated[float, Field(gt=0)] = 1.0
    gpus_per_trial: Annotated[float, Field(ge=0)] = 0.0
    epochs: PositiveInt = 10
    """Epochs of the longest trial; the refit takes `distill.optim.epochs`."""
    grace_epochs: PositiveInt = 2
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    space: Annotated[dict[str, Annotated[Uniform | Choice, Field(discriminator="kind")]], Field(min_length=1)]
    """Dotted keys of the distill settings and what is tried for each."""


class EvaluateStage(Section):
    """AUC with interval and the rest of the figures on test sets, thresholds from the validation patients."""

    datasets: tuple[str, ...] | None = None
    """Test sets by dataset name; null takes the internal test split and every external set."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    num_resamples: Annotated[int, Field(ge=100)] = 2000
    batch_size: PositiveInt = 64


class IndexSettings(IndexStage, Job):
    """Settings of `raydr index`."""

    job: Literal["index"]


class PrepareSettings(PrepareStage, Job):
    """Settings of `raydr prepare`."""

    job: Literal["prepare"]
    manifest: str
    """`manifest.parquet` of `index`."""
    preprocess: RetinaSettings = RetinaSettings()


class PretrainSettings(PretrainStage, Job):
    """Settings of `raydr pretrain`."""

    job: Literal["pretrain"]
    data: DataSettings
    preprocess: PreprocessSettings = PreprocessSettings()


class FinetuneSettings(FinetuneStage, Job):
    """Settings of `raydr finetune`."""

    job: Literal["finetune"]
    data: DataSettings
    preprocess: PreprocessSettings = PreprocessSettings()


class DistillSettings(DistillStage, Job):
    """Settings of `raydr distill`."""

    job: Literal["distill"]
    data: DataSettings
    teacher: str
    """Checkpoint folder of the teacher; the student takes its preprocessing and its head."""


class SearchSettings(SearchStage, Job):
    """Settings of `raydr search`."""

    job: Literal["search"]
    data: DataSettings
    teacher: str
    distill: DistillStage = DistillStage()

    @model_validator(mode="after")
    def _space_fits(self) -> Self:
        check_space(self.space, self.distill)
        return self


class EvaluateSettings(EvaluateStage, Job):
    """Settings of `raydr evaluate`."""

    job: Literal["evaluate"]
    data: DataSettings
    model: str
    """Checkpoint folder, or an MLflow model URI (`models:/raydr@champion`)."""


class PredictSettings(Job):
    """Settings of `raydr predict`."""

    job: Literal["predict"]
    model: str
    images: str
    """A folder, a glob or a manifest (`.parquet`) of photographs."""
    batch_size: PositiveInt = 64


class RunSettings(Job):
    """Settings of `raydr run`: the whole chain; each stage's inputs are the previous stages' results."""

    job: Literal["run"]
    preprocess: PreprocessSettings = PreprocessSettings()
    """The input of every network; `prepare` shares its crop and enhancement."""
    index: IndexStage
    prepare: PrepareStage | None = None
    """Null: the later stages stream the original photographs."""
    pretrain: PretrainStage = PretrainStage()
    finetune: FinetuneStage = FinetuneStage()
    distill: DistillStage = DistillStage()
    search: SearchStage
    evaluate: EvaluateStage = EvaluateStage()

    @model_validator(mode="after")
    def _space_fits(self) -> Self:
        check_space(self.search.space, self.distill)
        return self


def check_space(space: dict[str, Uniform | Choice], distill: DistillStage) -> None:
    """Raise ValueError naming the key of ``space`` that is not one of the distill settings or has a bad value."""
    from raydr.config.override import with_overrides

    for key, domain in space.items():
        tried = (domain.low, domain.high) if isinstance(domain, Uniform) else domain.values
        for value in tried:
            with_overrides(distill, {key: value}, where=f"space.{key}")


JOBS: dict[str, type[Job]] = {
    "index": IndexSettings,
    "prepare": PrepareSettings,
    "pretrain": PretrainSettings,
    "finetune": FinetuneSettings,
    "distill": DistillSettings,
    "search": SearchSettings,
    "evaluate": EvaluateSettings,
    "predict": PredictSettings,
    "run": RunSettings,
}
