"""The settings of each stage: what a verb of its own and `raydr run` have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from raydr.config.distillation import DistillationSettings
from raydr.config.explain import wrong_keys
from raydr.config.images import Side
from raydr.config.learning import (
    BatchSize,
    DownstreamModelSettings,
    HeadSettings,
    ModelSettings,
    OptimSettings,
    Preset,
    ProbeSettings,
)
from raydr.config.methods import LesionsSettings, MaeSettings, MethodSettings, SimclrSettings
from raydr.config.presets import PAPER_DISTILL, PAPER_FINETUNE, PAPER_PRETRAIN, PresetName, with_preset
from raydr.config.section import AsTuple, Fraction, PositiveInt, Section
from raydr.config.sources import BudgetSettings, SourceSettings, SplitSettings
from raydr.config.space import Space, check_may_change

LeakFinding = Literal["shared_patients", "identical_files", "near_identical_images"]


class IndexStage(Section):
    """Images and labels into one manifest, splits and a label budget by patient, a leak audit."""

    sources: Annotated[dict[str, SourceSettings], Field(min_length=1)]
    """Datasets by name."""
    splits: SplitSettings = SplitSettings()
    budget: BudgetSettings = BudgetSettings(fraction=0.02)
    near_identical: bool = True
    """Whether the leak audit looks for near-identical images too. Every photograph is decoded for it, which takes 15 to
    35 ms of a core each; without it a file is only read."""
    waive: Annotated[tuple[LeakFinding, ...], AsTuple] = ()
    """Findings of the leak audit that do not stop the job; they are in its table all the same."""

    @field_validator("sources")
    @classmethod
    def _trains_on_something(cls, sources: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        if all(source.role == "external" for source in sources.values()):
            raise ValueError('at least one source must have role = "internal" to train on')
        return sources

    @model_validator(mode="after")
    def _voets_is_of_all_eyepacs(self) -> Self:
        if self.splits.kind == "voets":
            text = "splits.kind = 'voets' pools EyePACS, train and test part; set test_images and test_labels"
            found = [
                (("sources", name), text)
                for name, source in self.sources.items()
                if source.role == "internal" and (source.layout != "eyepacs" or source.test_images is None)
            ]
            if found:
                raise wrong_keys(found)
        return self


class PrepareStage(Section):
    """Photographs into shards of small cropped JPEGs, the unreadable ones into quarantine."""

    side_px: Side = 512
    images_per_shard: PositiveInt = 2048
    """Also how many photographs a run that is cut off may have to read again."""
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] = 92
    max_bad_fraction: Fraction = 0.05
    """More unreadable photographs than this share fail the job; the shards of the others stay."""
    verify: bool = False
    """Compare the digest of every shard that is there with its record's, and make the wrong ones again."""
    montage: bool = True
    """Some thirty photographs in the report; false keeps pictures of patients out of it."""


class PretrainOptim(OptimSettings):
    """The optimiser of pretraining; a class of its own, so that a file that sets one key keeps these defaults."""

    epochs: PositiveInt = 100
    batch_size: BatchSize = 256


class FinetuneOptim(OptimSettings):
    """The optimiser of the teacher."""

    epochs: PositiveInt = 30


class DistillOptim(OptimSettings):
    """The optimiser of the student."""

    epochs: PositiveInt = 30


class LearningStage(Section):
    """A stage that trains a network; its defaults can be those of the paper."""

    paper: ClassVar[Mapping[str, Any]] = {}

    preset: PresetName = "default"
    """Where the keys that a file leaves out come from: `default`, as documented with each, or `paper`, the settings of
    arXiv:2208.02408."""
    view_side_px: Side | None = None
    """Side of the views that are trained on; null: `preprocess.side_px`, which the network is validated and used with
    in any case. A smaller one takes less time, and a network does better on pictures a little larger than those that it
    was trained on (arXiv:1906.06423)."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        return with_preset(data, cls.paper)


class PretrainStage(LearningStage):
    """Self-supervised pretraining of the backbone on every training image."""

    paper = PAPER_PRETRAIN

    model: ModelSettings = ModelSettings()
    method: MethodSettings = SimclrSettings()
    optim: PretrainOptim = PretrainOptim()
    augment: Preset = "weak_medium"
    fellow_eye_probability: Fraction = 0.0
    """How often the second view is of the patient's other eye, from the same exam, instead of the same image
    (as in MICLe, arXiv:2101.05224), where there is one; from any visit where the manifest names no exams. Needs images
    that fit into memory. Eyes of unlike grades are pulled together too."""
    probe: ProbeSettings = ProbeSettings()

    @model_validator(mode="after")
    def _has_a_second_view(self) -> Self:
        if self.fellow_eye_probability and isinstance(self.method, MaeSettings | LesionsSettings):
            name, got = self.method.name, self.fellow_eye_probability
            text = f"must be 0 with method {name!r}, which has no second view (got {got:g})"
            raise wrong_keys([(("fellow_eye_probability",), text)])
        return self


class FinetuneStage(LearningStage):
    """The teacher: a supervised network on the budget's labels."""

    paper = PAPER_FINETUNE

    model: DownstreamModelSettings = DownstreamModelSettings()
    head: HeadSettings = HeadSettings()
    optim: FinetuneOptim = FinetuneOptim()
    augment: Preset = "weak"
    class_balance: bool = True
    """Weigh classes by the inverse of their frequency among the labels."""
    ensemble: PositiveInt = 1
    """Networks that are trained on the same labels, with the seeds `seed`, `seed` + 1, … (in a study a million apart);
    the mean of their logits teaches the student, the first of them is what is tested as the teacher."""
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights are kept: the best on the validation patients, or the last."""
    validate_every_epochs: PositiveInt = 1
    """Epochs between two looks at the validation patients; the last epoch is always looked at. With few labels,
    validation takes longer than training: 5 or 10 save most of it."""

    @model_validator(mode="after")
    def _head_is_somewhere(self) -> Self:
        if self.head.start == "weights" and self.model.weights in ("none", "timm", "pretrain"):
            text = f"'weights' needs model.weights to name a classifier's folder (it is {self.model.weights!r})"
            raise wrong_keys([(("head", "start"), text)])
        return self


class DistillStage(LearningStage):
    """The student: learns from the teacher on all training images and from the budget's labels."""

    paper = PAPER_DISTILL

    model: DownstreamModelSettings = DownstreamModelSettings()
    start: Literal["model", "teacher"] = "model"
    """Where the student starts: as `model.weights` says with a fresh head, or as its teacher's first network is, head
    and all (`model.weights` is then of no account; the backbones must be the same): for one epoch or two."""
    distillation: DistillationSettings = DistillationSettings()
    rounds: PositiveInt = 1
    """Each round's student is the next one's teacher (arXiv:1911.04252); give it noise to learn through: views
    (`augment`), `model.drop_rate`. `distillation.correct_prior` is for the first teacher only."""
    labelled_fraction: Fraction = 0.25
    """Labelled images that join every batch, as a share of the batch size: few of the pool's own images have labels."""
    optim: DistillOptim = DistillOptim()
    augment: Preset = "weak"
    strong_augment: Preset = "strong"
    """The view on which `distillation.consistency_weight` asks for the calls made on the other."""
    class_balance: bool = True
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights are kept: the best on the validation patients, or the last."""

    def is_unlike(self, teacher_backbone: str) -> bool:
        """Whether it is to start as its teacher is, which is another network."""
        return self.start == "teacher" and self.model.backbone != teacher_backbone


class SearchStage(Section):
    """Distillation settings searched in parallel on the validation patients' AUC, the best refitted."""

    trials: PositiveInt = 16
    """More than last time, and nothing else changed: the search goes on from the trials that it has."""
    algorithm: Literal["random", "tpe"] = "random"
    """Where the next trial's settings come from: drawn from the space, or proposed by the tree of Parzen estimators
    (Optuna's TPE) from what the trials before have reached."""
    scheduler: Literal["asha", "median", "pbt", "none"] = "asha"
    """`asha` stops a trial outside the best 1 / `reduction_factor` at its rung (arXiv:1810.05934), `median` one whose
    best is below the median of the others' means, `none` none. `pbt` (arXiv:1711.09846) lets the weakest quarter
    go on from the strongest quarter's states with changed settings; it draws its first settings at random."""
    max_parallel: PositiveInt | None = None
    """Null: as many trials as the cluster has room for; of `tpe` on one that grows (`cluster.autoscaling`) 10."""
    workers_per_trial: PositiveInt = 1
    """Data-parallel workers of one trial, for students too large for one GPU; each gets its part of the two below."""
    cpus_per_trial: Annotated[float, Field(gt=0)] = 1.0
    gpus_per_trial: Annotated[float, Field(ge=0)] = 0.0
    epochs: PositiveInt = 10
    """Epochs of the longest trial; a refit takes `distill.optim.epochs`."""
    grace_epochs: PositiveInt = 2
    """Epochs before `asha` or `median` stops a trial, and between two changes by `pbt`."""
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    """Of `asha`."""
    refit_seeds: PositiveInt = 1
    """How often the best trial's settings are trained at full length, each time with the next seed: 3 tell how much of
    the AUC is luck. The model that is kept has the median validation AUC, the lower one of the middle two."""
    space: Annotated[Space, Field(min_length=1)]
    """Dotted keys of the distill settings and what is tried for each."""

    @model_validator(mode="after")
    def _grace_within_epochs(self) -> Self:
        if self.grace_epochs > self.epochs:
            raise wrong_keys([(("grace_epochs",), f"must be at most epochs ({self.epochs}) (got {self.grace_epochs})")])
        return self

    @model_validator(mode="after")
    def _pbt_can_change_every_key(self) -> Self:
        if self.scheduler == "pbt":
            if self.algorithm == "tpe":
                raise wrong_keys([(("algorithm",), "must be 'random' where scheduler is 'pbt' (got 'tpe')")])
            if self.workers_per_trial > 1:
                raise wrong_keys([(("workers_per_trial",), "must be 1 where scheduler is 'pbt'")])
            check_may_change(self.space)
        return self


class EvaluateStage(Section):
    """AUC with interval and the rest of the figures on test sets, thresholds from the validation patients."""

    datasets: Annotated[tuple[str, ...] | None, AsTuple] = None
    """Test sets by dataset name; null takes the internal test split and every external set."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of the intervals."""
    num_resamples: Annotated[int, Field(ge=100)] = 2000
    """Resamples of patients behind the intervals that come of a bootstrap."""
    prevalence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of referable images where the model is to be used; PPV and NPV are given for it too. Null: only for each
    set's own share."""
    pictures: bool = True
    """Some twenty photographs in the report, the worst errors and the highest scores, with heat maps; false keeps
    pictures of patients out of it."""
    batch_size: PositiveInt = 64
