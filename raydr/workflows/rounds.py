"""Students in rounds, each the teacher of the next."""

from dataclasses import replace

from raydr.config.images import DataSettings
from raydr.config.jobs import Job
from raydr.config.override import with_overrides
from raydr.config.stages import DistillStage
from raydr.images.preprocess import Preprocess
from raydr.training.teacher import Teacher
from raydr.workflows.console import say
from raydr.workflows.images import rows_of
from raydr.workflows.job import Outcome, Stage
from raydr.workflows.learn import Lesson, learn
from raydr.workflows.teaching import teach


def distil_in_rounds(
    stage: Stage, settings: Job, student: DistillStage, *, data: DataSettings, preprocess: Preprocess, teacher: Teacher
) -> Outcome:
    """The last of ``student.rounds`` students: the first learns from ``teacher``, each other from the one before.

    As arXiv:1911.04252's noisy students. Every round's model is kept, in `round-1` and so on, the last in `model`;
    a round that an attempt before had finished is not run again. Needs a connected cluster.
    """
    lesson = Lesson("distil", student, data, preprocess, teacher)
    done: list[Outcome] = []
    for number in range(1, student.rounds):
        done.append(learn(stage, settings, replace(lesson, model=f"round-{number}")))
        say(f"  round {number} of {student.rounds} is done; its student teaches the next")
        # It learned from outputs that were put right already.
        student = with_overrides(student, {"distillation.correct_prior": "none"})
        outputs = f"teacher-{stage.name}-round-{number + 1}.parquet"
        teacher = teach(
            stage.path(outputs) if student.distillation.asks_beforehand else None,
            teacher=[done[-1].artifacts["model"]],
            head=teacher.head,
            rows=rows_of(data),
            data=data,
            num_views=student.distillation.teacher_views,
            cluster=settings.cluster,
        )
        lesson = replace(lesson, section=student, teacher=teacher)
    last = learn(stage, settings, lesson)
    if not done:
        return last
    rounds = [dict(outcome.metrics) for outcome in (*done, last)]
    artifacts = {f"round_{number}": outcome.artifacts["model"] for number, outcome in enumerate(done, start=1)}
    return Outcome({**last.metrics, "rounds": rounds}, {**last.artifacts, **artifacts}, last.logged)
