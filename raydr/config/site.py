"""What changes per site, not per experiment: the cluster and where runs are recorded."""

import re
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from raydr.config.explain import wrong_keys
from raydr.config.section import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Section


class ClusterSettings(Section):
    """The Ray cluster a job runs on and the share of it a training takes."""

    address: str | None = None
    """Ray cluster to join; null joins the one of RAY_ADDRESS, or else starts one on this machine."""
    num_workers: PositiveInt = 1
    """Data-parallel training workers; the fewest, where there is a max_workers."""
    max_workers: PositiveInt | None = None
    """Workers that a training takes when they are there, going on with fewer when nodes are lost; null: num_workers."""
    cpus_per_worker: NonNegativeFloat = 1.0
    gpus_per_worker: NonNegativeFloat = 0.0
    decode_cpus: PositiveFloat = 1.0
    """CPUs one decoding task reserves; the rest of the cluster beside the trainers decodes."""
    decode_label: str | None = None
    """Label of the Ray nodes that decode for a training, as `tier=cpu`; trainers keep off them. Null: any node."""
    threads_per_worker: PositiveInt | None = None
    """CPU threads of torch in a worker; null leaves torch's own choice."""
    autoscaling: bool = False
    """The cluster grows on demand: a job that needs more than is there waits for it instead of being refused."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """Worker failures a training survives by going on from its last saved state."""
    max_preemption_failures: Annotated[int, Field(ge=0)] | None = None
    """Losses of nodes that Ray announced (spot, scaling down) a training survives likewise; null: any number."""
    save_every_minutes: PositiveFloat | None = 10.0
    """Minutes between saved states in the middle of an epoch; null: none by the clock. Every epoch's end is saved."""
    save_every_steps: PositiveInt | None = None
    """Steps between saved states in the middle of an epoch; null: none by steps."""
    stop_grace_s: PositiveFloat = 25.0
    """Seconds a training may take to save and end after SIGTERM or Ctrl-C (Kubernetes kills after 30)."""
    object_store_mib: PositiveInt | None = None
    """Object store of a cluster that raydr starts itself; null leaves Ray's own choice (30 % of memory)."""
    local_cpus: PositiveInt | None = None
    """CPUs of a cluster that raydr starts itself; null counts this machine's."""

    @field_validator("decode_label")
    @classmethod
    def _check_label(cls, label: str | None) -> str | None:
        if label is not None and not re.fullmatch(r"[\w./-]+=[\w.-]+", label):
            raise ValueError(f"must be a key and a value, as 'tier=cpu' (got {label!r})")
        return label

    @model_validator(mode="after")
    def _check_workers(self) -> Self:
        if self.max_workers is not None and self.max_workers < self.num_workers:
            text = f"must be at least num_workers ({self.num_workers}) (got {self.max_workers})"
            raise wrong_keys([(("max_workers",), text)])
        if not self.cpus_per_worker and not self.gpus_per_worker:  # Ray has no place for what takes nothing
            raise wrong_keys([(("cpus_per_worker",), "must be above 0 where gpus_per_worker is 0")])
        return self


class TrackingSettings(Section):
    """Where MLflow records runs and registers models."""

    enabled: bool = True
    uri: str | None = None
    """MLflow store; null takes MLFLOW_TRACKING_URI, or else an SQLite file beside the run."""
    experiment: str = "raydr"
    registered_model: str | None = "raydr"
    """Name in MLflow's registry for the models of `run` and of a `search` of its own; null keeps them out of it."""
    promotion_margin: Fraction = 0.05
    """By how much a `run`'s student may rank the validation patients worse than the registry's champion and still
    replace it: the lower bound of the 95 % interval of its AUC less the champion's, paired, must lie above minus this.
    0.05 is the usual margin of reader studies (doi:10.1093/jnci/djy222). Few validation patients make a wide interval
    that no student passes, many make room for a smaller margin; each promotion may give up as much again, and 0
    promotes only a student that is better."""
