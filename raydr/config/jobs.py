"""The settings of every verb; `job` names the verb, so a wrong file fails by name."""

from typing import Any, Literal, Self

from pydantic import model_validator

from raydr.config.applied import CompareStage, ExportStage, PredictStage
from raydr.config.capacity import (
    CalibrationSettings,
    MachineSettings,
    PlanImages,
    PlanTracking,
    PriceSettings,
    RateSettings,
    impossible_machines,
    missing_figures,
)
from raydr.config.distillation import Teachers
from raydr.config.evaluated import Evaluated
from raydr.config.explain import wrong_keys
from raydr.config.images import DataSettings, PreprocessSettings, RetinaSettings
from raydr.config.learning import DownstreamModelSettings
from raydr.config.presets import PresetName
from raydr.config.section import Section, Seed
from raydr.config.simulation import SimulationSettings, impossible_fleets
from raydr.config.site import ClusterSettings, TrackingSettings
from raydr.config.space import check_space
from raydr.config.stages import (
    DistillStage,
    EvaluateStage,
    FinetuneStage,
    IndexStage,
    PrepareStage,
    PretrainStage,
    SearchStage,
)
from raydr.config.starts import impossible_starts
from raydr.config.study import StudyStage

__all__ = [
    "JOBS",
    "CompareSettings",
    "DistillSettings",
    "DistillStage",
    "EvaluateSettings",
    "EvaluateStage",
    "ExportSettings",
    "FinetuneSettings",
    "FinetuneStage",
    "IndexSettings",
    "IndexStage",
    "Job",
    "PlanSettings",
    "PredictSettings",
    "PrepareSettings",
    "PrepareStage",
    "PretrainSettings",
    "PretrainStage",
    "RunSettings",
    "SearchSettings",
    "SearchStage",
    "StudySettings",
]


class Job(Section):
    """What every verb has: a place for its results, a seed, a site."""

    out: str
    """Folder of the results; created, never overwritten by another job's."""
    seed: Seed = 0
    cluster: ClusterSettings = ClusterSettings()
    tracking: TrackingSettings = TrackingSettings()


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

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        check_standalone(self.model, ("model", "weights"))
        return self


class DistillSettings(DistillStage, Job):
    """Settings of `raydr distill`."""

    job: Literal["distill"]
    data: DataSettings
    teacher: Teachers
    """Checkpoint folder of the teacher, or a list of them (an ensemble): the mean of their logits teaches. The student
    takes their preprocessing and their head, in which they must not differ."""

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        check_standalone(self.model, ("model", "weights"))
        return self


class SearchSettings(SearchStage, Job):
    """Settings of `raydr search`."""

    job: Literal["search"]
    data: DataSettings
    teacher: Teachers
    """As in `distill`: a folder, or a list of them."""
    distill: DistillStage = DistillStage()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_standalone(self.distill.model, ("distill", "model", "weights"))
        check_space(self.space, self.distill)
        return self


class EvaluateSettings(Evaluated, Job):
    """Settings of `raydr evaluate`: either `model` and `data`, or `scores` and `labels`."""

    job: Literal["evaluate"]


class PredictSettings(PredictStage, Job):
    """Settings of `raydr predict`."""

    job: Literal["predict"]


class CompareSettings(CompareStage, Job):
    """Settings of `raydr compare`."""

    job: Literal["compare"]


class ExportSettings(ExportStage, Job):
    """Settings of `raydr export`."""

    job: Literal["export"]


class RunSettings(Job):
    """Settings of `raydr run`: the whole chain; each stage's inputs are the previous stages' results."""

    job: Literal["run"]
    preprocess: PreprocessSettings = PreprocessSettings()
    """The input of every network; `prepare` shares its crop and enhancement."""
    preset: PresetName = "default"
    """That of `pretrain`, `finetune` and `distill`, where they name none of their own."""
    index: IndexStage
    prepare: PrepareStage | None = None
    """Null: the later stages stream the original photographs."""
    pretrain: PretrainStage = PretrainStage()
    finetune: FinetuneStage = FinetuneStage()
    distill: DistillStage = DistillStage()
    search: SearchStage
    evaluate: EvaluateStage = EvaluateStage()

    @model_validator(mode="before")
    @classmethod
    def _hand_down(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("preset") != "paper":
            return data
        stages = {name: data.get(name, {}) for name in ("pretrain", "finetune", "distill")}
        tables = {name: {"preset": "paper", **stage} for name, stage in stages.items() if isinstance(stage, dict)}
        return {**data, **tables}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_space(self.search.space, self.distill, ("search", "space"))
        found = list(impossible_starts(self.pretrain, self.finetune, self.distill, self.search.space))
        allowed = ", ".join(self.index.sources)
        unknown = [name for name in self.evaluate.datasets or () if name not in self.index.sources]
        found += [(("evaluate", "datasets"), f"{name!r} is no source of index; allowed: {allowed}") for name in unknown]
        if self.prepare and self.prepare.side_px < self.preprocess.side_px:
            text = f"must be at least preprocess.side_px ({self.preprocess.side_px}) (got {self.prepare.side_px})"
            found.append((("prepare", "side_px"), text))
        if found:
            raise wrong_keys(found)
        return self


class StudySettings(StudyStage, Job):
    """Settings of `raydr study`."""

    job: Literal["study"]


class PlanSettings(Job):
    """Settings of `raydr plan`; the sections of preprocess, prepare and pretrain are those of `raydr run`."""

    job: Literal["plan"]
    images: PlanImages
    machines: MachineSettings
    rates: RateSettings = RateSettings()
    calibrate: bool = False
    """Measure on this machine what `rates` and `images` do not say; seconds for each, minutes for a large network."""
    calibration: CalibrationSettings = CalibrationSettings()
    prices: PriceSettings | None = None
    simulation: SimulationSettings | None = None
    """Null: no simulation."""
    preprocess: PreprocessSettings = PreprocessSettings()
    prepare: PrepareStage = PrepareStage()
    pretrain: PretrainStage = PretrainStage()
    """The training to plan for: the longest, and the student streams the same images."""
    tracking: PlanTracking = PlanTracking()

    @model_validator(mode="after")
    def _can_be_planned(self) -> Self:
        found = [
            *missing_figures(self.images, self.rates, calibrate=self.calibrate),
            *impossible_machines(self.machines, batch_size=self.pretrain.optim.batch_size),
        ]
        if self.simulation is not None:
            batch_size = self.pretrain.optim.batch_size
            found += impossible_fleets(self.simulation, self.machines, batch_size=batch_size)
        if self.prepare.side_px < self.preprocess.side_px:
            text = f"must be at least preprocess.side_px ({self.preprocess.side_px}) (got {self.prepare.side_px})"
            found.append((("prepare", "side_px"), text))
        if found:
            raise wrong_keys(found)
        return self


def check_standalone(model: DownstreamModelSettings, path: tuple[str, ...]) -> None:
    """Raise an error at ``path`` where a verb of its own is told to start from the backbone of a run."""
    if model.weights == "pretrain":
        text = "'pretrain' is the backbone of the same `raydr run`; set it to 'none', 'timm' or a pretrained folder"
        raise wrong_keys([(path, text)])


JOBS: dict[str, type[Job]] = {
    "index": IndexSettings,
    "prepare": PrepareSettings,
    "pretrain": PretrainSettings,
    "finetune": FinetuneSettings,
    "distill": DistillSettings,
    "search": SearchSettings,
    "evaluate": EvaluateSettings,
    "predict": PredictSettings,
    "compare": CompareSettings,
    "export": ExportSettings,
    "run": RunSettings,
    "study": StudySettings,
    "plan": PlanSettings,
}
