"""Settings of a study: what an arm is at each budget, and every mistake told by file and key."""

from pathlib import Path

import pytest

from raydr.config.jobs import StudySettings
from raydr.config.load import load
from raydr.config.show import as_toml
from raydr.config.study import _VALIDATION
from raydr.errors import SettingsError
from raydr.metrics.label_efficiency import VALIDATION

STUDY = """\
job = "study"
out = "runs/x"
budgets = [12, "all"]
[index.sources.main]
layout = "eyepacs"
images = "photographs"
labels = "labels.csv"
[pretrains.simclr]
model.backbone = "resnet18"
[arms.scratch]
kind = "finetune"
model.weights = "none"
[arms.ssl]
kind = "finetune"
model.weights = "pretrains.simclr"
[arms.probe]
kind = "probe"
model.weights = "timm"
[arms.student]
kind = "distill"
teacher = "ssl"
model.weights = "pretrains.simclr"
[arms.fixmatch]
kind = "distill"
model.weights = "none"
distillation.consistency_weight = 1.0
"""


def settings(tmp_path: Path, *added: str) -> StudySettings:
    file = tmp_path / "study.toml"
    head, table = STUDY.split("\n[", 1)
    tops = [text for text in added if not text.startswith("[")]
    file.write_text("\n".join([head, *tops, f"[{table}", *(text for text in added if text.startswith("["))]))
    found = load("study", [file])
    assert isinstance(found, StudySettings)
    return found


def errors(tmp_path: Path, *added: str, **overrides: object) -> list[str]:
    file = tmp_path / "study.toml"
    file.write_text("\n".join([STUDY, *added]))
    with pytest.raises(SettingsError) as found:
        load("study", [file], overrides={key.replace("__", "."): value for key, value in overrides.items()})
    return [line.removeprefix(f"{file}: ").removeprefix("command line: ") for line in found.value.lines]


def test_keys_of_one_budget_change_that_budget_alone_and_leave_the_others_as_they_are(tmp_path):
    at = '[arms.scratch.at.12]\n"optim.epochs" = 40\noptim.batch_size = 8'
    found = settings(tmp_path, at, "[arms.scratch.optim]\nlearning_rate = 0.5\nepochs = 7")
    few, many = (found.arms["scratch"].stage(budget) for budget in ("12", "all"))
    assert (few.optim.epochs, few.optim.batch_size, few.optim.learning_rate) == (40, 8, 0.5)
    assert (many.optim.epochs, many.optim.batch_size, many.optim.learning_rate) == (7, 64, 0.5)


def test_what_is_shown_of_a_study_loads_to_the_same_settings(tmp_path):
    found = settings(tmp_path, '[arms.scratch.at.12]\n"optim.epochs" = 40')
    shown = tmp_path / "shown.toml"
    shown.write_text(as_toml(found))
    assert load("study", [shown]) == found


def test_cells_come_after_their_teachers_and_only_picks_some(tmp_path):
    found = settings(tmp_path, 'only = ["student/12/draw-2/*"]')
    assert [str(cell) for cell in found.cells] == ["ssl/12/draw-2/seed-0", "student/12/draw-2/seed-0"]
    assert found.teachers == {"student": "ssl"}
    assert len(found.grid) == 5 * (3 + 1)


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"arms__student__teacher": "nobody"}, "arms.student.teacher: 'nobody' is no arm; allowed: scratch, ssl, "),
        ({"arms__student__teacher": "student"}, "arms.student.teacher: arms teach each other in a circle: student <- "),
        ({"arms__ssl__model.weights": "pretrains.x"}, "arms.ssl.model.weights: 'pretrains.x' is none of this study's"),
        ({"arms__ssl__model.weights": "pretrain"}, "arms.ssl.model.weights: 'pretrain' is the backbone of a `raydr"),
        (
            {"pretrains__simclr__model.backbone": "resnet50"},
            "arms.ssl.model.weights: pretrains.simclr is a 'resnet50', from which a 'resnet18' cannot start",
        ),
        ({"arms__scratch__at.13": {"optim.epochs": 1}}, "arms.scratch.at.13: is no budget; allowed: 12, all"),
        (
            {"arms__scratch__at.12": {"optim.epoch": 1}},
            'arms.scratch.at.12."optim.epoch": no such key; did you mean epochs?',
        ),
        ({"arms__scratch__at.12": {"optim.epochs": 0}}, 'arms.scratch.at.12."optim.epochs": must be above 0 (got 0)'),
        ({"only": ["scrtch/*"]}, "only: 'scrtch/*' matches no cell; names are ARM/BUDGET/draw-D/seed-S, as scratch/12"),
        (
            {"reference": "none"},
            "reference: 'none' is no arm; allowed: scratch, ssl, probe, student, fixmatch, or null",
        ),
        (
            {"arms__ssl__head.start": "weights"},
            "arms.ssl.head.start: 'weights' needs a classifier's folder; pretrains.simclr is a backbone",
        ),
        ({"draws": 1001}, "draws: must be at most 1000 (got 1001)"),
        ({"budgets": [12, 12]}, "budgets: has a budget twice"),
        ({"index__budget.count": 5}, "index.budget: is not used by a study, which draws its own"),
        ({"arms__student__rounds": 2}, "arms.student.rounds: must be 1 in a study (got 2); a second round is another"),
        ({"arms__fixmatch__start": "teacher"}, "arms.fixmatch.start: must be 'model' where there is no teacher"),
        (
            {"arms__fixmatch__distillation.consistency_weight": 0.0},
            "arms.fixmatch.distillation.consistency_weight: must be above 0 where there is no teacher",
        ),
        (
            {"arms__scratch__kind": "tune"},
            "arms.scratch.kind: must be one of 'finetune', 'probe', 'distill' (got 'tune'",
        ),
        ({"arms__probe__optim": {}}, "arms.probe.optim: no such key; allowed: model, inverse_strengths, class_balance"),
    ],
)
def test_a_mistake_is_told_by_its_key(overrides, line, tmp_path):
    (found, *more) = errors(tmp_path, **overrides)
    assert found.startswith(line)
    assert not more or "arms.student" in more[0], "what starts from the same backbone has the same fault"


def test_names_that_are_no_folders_and_one_that_is_taken_are_refused(tmp_path):
    (line,) = errors(tmp_path, '[arms."../x"]\nkind = "probe"\nmodel.weights = "timm"')
    assert line == 'arms."../x": a name has letters, digits, - and _ only'
    (line,) = errors(tmp_path, '[index.sources.validation]\nlayout = "eyepacs"\nimages = "i"\nlabels = "l"')
    assert line.startswith("index.sources.validation: is what the validation patients' figures are called")
    assert _VALIDATION == VALIDATION
