"""`raydr distill`: one student with fixed settings."""

from raydr.build import check_losses, check_start_from_teacher
from raydr.config.jobs import DistillSettings
from raydr.config.stages import DistillStage
from raydr.engine.package import NUM_OUTPUTS
from raydr.workflows.images import rows_of
from raydr.workflows.job import Outcome, Pipeline, Stage, perform
from raydr.workflows.learn import inputs_of, model_input
from raydr.workflows.preflight import ready
from raydr.workflows.result import StageResult
from raydr.workflows.rounds import distil_in_rounds
from raydr.workflows.sections import section
from raydr.workflows.teaching import outputs_name, read_teacher, teach, teacher_inputs


def distill(settings: DistillSettings, *, pipeline: Pipeline | None = None) -> StageResult:
    """The result of distillation; its artifact `model` is the student, of the last round where there are several."""

    def body(stage: Stage) -> Outcome:
        teacher, head = read_teacher(settings.teacher)
        student = section(DistillStage, settings)
        check_losses(settings.distillation, NUM_OUTPUTS[head])
        check_start_from_teacher(student, teacher.backbone)
        outputs = outputs_name(stage.inputs, settings.distillation.teacher_views)
        with ready(settings):
            taught = teach(
                stage.path(outputs) if settings.distillation.asks_beforehand else None,
                teacher=settings.teacher,
                head=head,
                rows=rows_of(settings.data),
                data=settings.data,
                num_views=settings.distillation.teacher_views,
                cluster=settings.cluster,
            )
            return distil_in_rounds(
                stage, settings, student, data=settings.data, preprocess=teacher.preprocess, teacher=taught
            )

    weights = model_input(settings.model.weights)
    inputs = inputs_of(settings.data, **teacher_inputs(settings.teacher), weights=weights)
    return perform(settings, "distill", inputs=inputs, pipeline=pipeline, body=body)
