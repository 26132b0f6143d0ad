"""`raydr search`: students in parallel over the space, the best settings refitted at full length."""

import itertools
import time

from raydr.build import check_losses, check_start_from_teacher
from raydr.config.jobs import SearchSettings
from raydr.config.override import with_overrides
from raydr.config.space import extremes, hand_set
from raydr.engine.package import NUM_OUTPUTS, Head
from raydr.errors import InputError
from raydr.workflows.images import rows_of, validation_patients
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import check_start, inputs_of, model_input
from raydr.workflows.outcome import conclude, say_best
from raydr.workflows.preflight import ready
from raydr.workflows.refit import refit
from raydr.workflows.result import StageResult
from raydr.workflows.teaching import outputs_name, read_teacher, teach, teacher_inputs
from raydr.workflows.trials import check_images_fit, run_trials


def search(settings: SearchSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of the search; its artifact `model` is the refitted best student, `report` its page."""

    def body(stage: Stage) -> Outcome:
        teacher, head = read_teacher(settings.teacher)
        asks_beforehand = _check_students(settings, head, teacher.backbone)
        rows = rows_of(settings.data)
        if not len(rows.validation):
            raise InputError(f"{settings.data.manifest}: split: no graded validation image to search by")
        clock = [time.perf_counter()]
        num_views = settings.distill.distillation.teacher_views
        with ready(settings):
            check_images_fit(
                "search: training",
                settings.cluster,
                num_images=len(rows.train),
                side_px=teacher.preprocess.side_px,
                cpus=settings.cpus_per_trial / settings.workers_per_trial,
                gpus=settings.gpus_per_trial / settings.workers_per_trial,
            )
            taught = teach(
                stage.path(outputs_name(stage.inputs, num_views)) if asks_beforehand else None,
                teacher=settings.teacher,
                head=head,
                rows=rows,
                data=settings.data,
                num_views=num_views,
                cluster=settings.cluster,
            )
            clock.append(time.perf_counter())
            trials = run_trials(stage, settings, rows=rows, teacher=teacher, taught=taught)
            clock.append(time.perf_counter())
            num_patients = len(set(validation_patients(rows).values()))
            say_best(trials, num_patients=num_patients)
            student = with_overrides(settings.distill, trials[0].sample)
            refits = refit(stage, settings, student, preprocess=teacher.preprocess, teacher=taught)
            clock.append(time.perf_counter())
        parts = zip(("teacher", "trials", "refits"), itertools.pairwise(clock), strict=True)
        seconds = {name: round(end - start, 2) for name, (start, end) in parts}
        return conclude(
            stage,
            settings,
            rows,
            trials,
            refits,
            num_patients=num_patients,
            seconds=seconds,
            alone=pipeline is None,
        )

    weights = model_input(settings.distill.model.weights)
    inputs = inputs_of(settings.data, **teacher_inputs(settings.teacher), weights=weights)
    return perform(settings, "search", inputs=inputs, pipeline=pipeline, body=body)


def _check_students(settings: SearchSettings, head: Head, teacher_backbone: str) -> bool:
    """Whether any student wants the teacher's outputs on all images, after a look at what no trial could be built of.

    Before anything starts, not in the first trial that draws such a value.

    Raises:
        InputError: A loss that the teacher's head does not go with, a backbone that timm does not know, or one that
            cannot start from the weights of another.
    """
    own = hand_set(settings.space, settings.distill)
    for key, domain in settings.space.items():
        if settings.scheduler == "pbt" and own[key] is None and domain.kind != "choice":
            raise InputError(
                f'space."{key}": distill\'s own value is none, which scheduler = "pbt" cannot change; set it'
            )
    students = [("distill", settings.distill)]
    students += [
        (f'space."{key}"', with_overrides(settings.distill, overrides)) for key, overrides in extremes(settings.space)
    ]
    starts: dict[tuple[str, str], str] = {}
    for key, student in students:
        check_losses(student.distillation, NUM_OUTPUTS[head])
        check_start_from_teacher(student, teacher_backbone)
        starts.setdefault((student.model.backbone, student.model.weights), key)
    for (backbone, weights), key in starts.items():  # each once: weights may lie far away
        check_start(key, backbone, weights)
    return any(student.distillation.asks_beforehand for _, student in students)
