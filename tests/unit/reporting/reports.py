"""Reports to draw: a full one, and bare ones."""

from datetime import UTC, datetime

import numpy as np

from raydr.metrics.comparison import AucDifference
from raydr.metrics.evaluation import evaluate_dataset
from raydr.metrics.operating import OperatingPoint
from raydr.metrics.scored_images import ScoredImages
from raydr.reporting.model_facts import ModelFacts
from raydr.reporting.report import Report, ScoredPicture, Stage, Trial

POINTS = (OperatingPoint("youden", 0.5), OperatingPoint("specificity_at_sensitivity_0.90", 0.3))
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def evaluation(name, *, seed=0, grade=None, five_grades=True, num_images=120, camera="a camera"):
    generator = np.random.default_rng(seed)
    grades = generator.integers(0, 5, num_images) if grade is None else np.full(num_images, grade)
    probability = 1 / (1 + np.exp(2 - grades - generator.normal(size=num_images)))
    probability[:3] = np.nan
    scored = ScoredImages(
        image_id=np.arange(num_images).astype(str),
        patient=(np.arange(num_images) // 2).astype(str),
        grade=grades,
        probability=probability,
        grade_probability=generator.dirichlet(np.ones(5), num_images) if five_grades else None,
        eye=np.where(np.arange(num_images) % 2, "left", "right"),
        gradable=np.arange(num_images) % 10 > 0,
        camera=np.where(np.arange(num_images) % 3, "another camera", camera),
    )
    return evaluate_dataset(
        name, scored, POINTS, prevalence=0.08, temperature=1.3, num_resamples=100, num_band_resamples=50
    )


def of_exams(name, *, num_images=120):
    generator = np.random.default_rng(0)
    exam = np.array([f"exam {place // 2}" for place in range(num_images)])
    referable = np.repeat(generator.integers(0, 2, num_images // 2), 2)
    scored = ScoredImages(
        image_id=np.arange(num_images).astype(str),
        patient=exam,
        grade=np.full(num_images, -1),
        probability=1 / (1 + np.exp(1 - 2 * referable - generator.normal(size=num_images))),
        exam=exam,
        exam_referable=referable,
    )
    return evaluate_dataset(name, scored, POINTS, num_resamples=100, num_band_resamples=50)


def full_report(name="eyepacs test"):
    students = [evaluation(name, camera=name), evaluation("external clinic", seed=1)]
    return Report(
        title=f"Run {name}",
        created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        models={"student": students, "teacher": [evaluation(name, seed=2, five_grades=False)]},
        differences={name: AucDifference(-0.02, -0.05, 0.01, 0.95, 0.2, 0.9, 0.92, 117, 59, 71)},
        internal=name,
        stages=[Stage("index", 2.4, name), Stage("pretrain", 3700, is_up_to_date=True), Stage("search", 3700)],
        trials=[
            Trial(place, {"rate": 10.0**-place, "kind": name}, 0.7 + 0.01 * place if place else None, 3, "completed")
            for place in range(12)
        ],
        curves={"pretrain": [{"epoch": 1, "train_loss": 3.0, name: 1.0}, {"epoch": 2, "train_loss": 2.0}]},
        data=[
            {"dataset": name, "split": "train", "images": 1234, "patients": 617}
            | {f"grade_{grade}": grade for grade in range(5)}
        ],
        budget="2 % of the labels",
        audit=[f"{name} is clean"],
        settings=f'out = "{name}"\n',
        environment={"torch": "2.14", name: name},
        digests={"manifest": "9c1f"},
        worst_errors=[ScoredPicture(name, name, b"\xff\xd8jpeg", 0.98, 0)],
        highest_scored=[ScoredPicture(name, name, b"\xff\xd8jpeg", 0.99, 4, b"\xff\xd8heat")],
        about=ModelFacts(
            name,
            has_grades=True,
            side_px=224,
            crop=True,
            enhance="clahe",
            thresholds={"youden": 0.5},
            provenance={"manifest": "ab12"},
            start="ImageNet weights.",
            training=["Pretrained without labels.", "Distilled."],
            selection="The best validation AUC of 12 trials.",
            ensemble="One network, taught by three.",
        ),
    )


def bare(*evaluations):
    return Report("Bare", datetime(2026, 1, 1, tzinfo=UTC), {"student": evaluations} if evaluations else {})
