"""A student takes the champion's place only if a paired comparison on the same patients says that it is not worse."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from raydr.engine.package import DESCRIPTION, WEIGHTS, ModelDescription, load_model, save_model
from raydr.errors import RunError
from raydr.images.preprocess import Preprocess
from raydr.metrics.comparison import auc_difference
from raydr.models.backbone import create_backbone
from raydr.models.classifier import Classifier
from raydr.tracking.runs import open_tracker
from raydr.tracking.store import open_client
from raydr.workflows.promotion import promote

NUM_PATIENTS = 150
GRADE = np.random.default_rng(0).integers(0, 5, 2 * NUM_PATIENTS)


def scores(spread, *, seed=0, num_patients=NUM_PATIENTS):
    """Of a model that is the worse the larger the spread."""
    noise = np.random.default_rng(seed).normal(0, spread, len(GRADE))
    table = pa.table(
        {
            "image_id": [str(number) for number in range(len(GRADE))],
            "patient": [f"p{number // 2}" for number in range(len(GRADE))],
            "probability": 1 / (1 + np.exp(1.6 - GRADE - noise)),
            "grade": GRADE,
        }
    )
    return table.slice(0, 2 * num_patients)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("mlflow"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return open_tracker(enabled=True, uri=None, experiment="e", default_folder=folder)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder such as MLflow stores of a model, with what raydr fetches of it."""
    folder = tmp_path_factory.mktemp("stored")
    torch.manual_seed(0)
    network = Classifier(create_backbone("test_resnet"), 1)
    description = ModelDescription("test_resnet", "binary", Preprocess(side_px=32))
    save_model(str(folder / "artifacts" / "model"), network, description)
    return folder


class Contest:
    """A registered model of its own, with as many versions as are asked for."""

    def __init__(self, tracker, stored, name):
        self.tracker, self.stored, self.name = tracker, stored, name
        self.client = open_client(tracker.uri)
        self.client.create_registered_model(name)
        self.asked = []

    def enter(self, candidate, champion=None, *, margin=0.05, stored=None):
        """Register a version and let it contend; ``champion`` are the champion's scores."""
        made = self.client.create_model_version(self.name, str(stored or self.stored))

        def score(folder):
            self.asked.append(folder)
            load_model(folder)
            return champion.drop_columns(["patient", "grade"])

        found = promote(self.tracker, self.name, str(made.version), margin=margin, validation=candidate, score=score)
        return str(made.version), found

    @property
    def aliases(self):
        return {alias: str(held) for alias, held in self.client.get_registered_model(self.name).aliases.items()}

    def tags(self, version):
        return self.client.get_model_version(self.name, version).tags


@pytest.fixture
def contest(tracker, stored, request):
    return Contest(tracker, stored, request.node.name.replace("[", "-").rstrip("]"))


def test_the_first_one_becomes_champion_and_that_is_said(contest, capsys):
    version, found = contest.enter(scores(1.0))
    assert found.is_champion
    assert not contest.asked
    assert contest.aliases == {"challenger": version, "champion": version}
    assert contest.tags(version)["raydr.promotion"] == "there was no champion to be compared with"
    assert "challenger and champion: there was no champion to be compared with" in capsys.readouterr().out


def test_one_that_is_not_worse_takes_its_place_with_the_difference_in_tags_and_on_the_screen(contest, capsys):
    first, _ = contest.enter(scores(2.0, seed=1))
    better, worse = scores(1.0, seed=2), scores(2.0, seed=1)
    second, found = contest.enter(better, worse)
    assert contest.aliases == {"challenger": second, "champion": second}
    patients = np.array(better["patient"].to_pylist())
    wanted = auc_difference(
        GRADE >= 2, better["probability"].to_numpy(), worse["probability"].to_numpy(), patients, level=0.95
    )
    assert found.difference == wanted
    quoted = f"{wanted.value:+.3f} [{wanted.low:+.3f}, {wanted.high:+.3f}]"
    assert contest.tags(second)["raydr.auc_difference"] == quoted
    assert contest.tags(second)["raydr.compared_with"] == first
    assert f"version {first}, {quoted} on 150 patients; its lower bound is above -0.05" in capsys.readouterr().out


def test_one_that_is_worse_stays_challenger(contest, capsys):
    first, _ = contest.enter(scores(0.5))
    second, found = contest.enter(scores(3.0, seed=1), scores(0.5, seed=2))
    assert found.difference.high < -0.05
    assert contest.aliases == {"challenger": second, "champion": first}
    assert "challenger only" in capsys.readouterr().out
    assert "not above -0.05" in contest.tags(second)["raydr.promotion"]


def test_the_lower_bound_decides_not_the_value(contest):
    """Of two equal models on a few patients nobody can say that the new one is not worse."""
    first, _ = contest.enter(scores(2.0))
    candidate, champion = (scores(2.0, seed=seed, num_patients=15) for seed in (1, 21))
    second, found = contest.enter(candidate, champion)
    assert found.difference.value > 0
    assert found.difference.low < -0.05
    assert contest.aliases == {"challenger": second, "champion": first}


def test_the_same_model_again_is_not_worse_whatever_the_margin_but_zero(contest):
    contest.enter(scores(1.0))
    assert contest.enter(scores(1.0), scores(1.0), margin=0.001)[1].is_champion
    assert not contest.enter(scores(1.0), scores(1.0), margin=0.0)[1].is_champion


def test_one_that_judges_alike_is_not_worse_on_however_few_patients(contest):
    contest.enter(scores(1.0))
    few = scores(1.0, num_patients=3)
    version, found = contest.enter(few, few)
    assert found.is_champion
    assert contest.aliases["champion"] == version
    other = scores(30.0, seed=4, num_patients=3)
    assert not contest.enter(other, few)[1].is_champion


def test_one_that_is_the_champion_already_stays_it_without_a_comparison(contest):
    """A run that was cut off after its promotion is repeated."""
    version, _ = contest.enter(scores(1.0))
    again = promote(contest.tracker, contest.name, version, margin=0.0, validation=scores(1.0), score=pytest.fail)
    assert again.is_champion
    assert contest.aliases == {"challenger": version, "champion": version}


def test_one_is_compared_with_a_champion_that_took_the_place_meanwhile(contest):
    contest.enter(scores(1.0))
    rival = str(contest.client.create_model_version(contest.name, str(contest.stored)).version)
    third = str(contest.client.create_model_version(contest.name, str(contest.stored)).version)
    asked = []

    def score(_folder):
        asked.append(len(asked))
        if len(asked) == 1:
            contest.client.set_registered_model_alias(contest.name, "champion", rival)
            return scores(3.0, seed=1).drop_columns(["patient", "grade"])
        return scores(0.1, seed=2).drop_columns(["patient", "grade"])

    found = promote(contest.tracker, contest.name, third, margin=0.0, validation=scores(1.0), score=score)
    assert len(asked) == 2
    assert found.compared_with == rival
    assert contest.aliases == {"challenger": third, "champion": rival}


def test_a_champion_whose_store_does_not_answer_keeps_its_place(contest):
    first, _ = contest.enter(scores(1.0))
    second = str(contest.client.create_model_version(contest.name, str(contest.stored)).version)

    def score(_folder):
        raise RunError("store: does not answer")

    found = promote(contest.tracker, contest.name, second, margin=0.05, validation=scores(1.0), score=score)
    assert "does not answer" in found.reason
    assert contest.aliases == {"challenger": second, "champion": first}


@pytest.mark.parametrize("what", ["gone", "torn", "missing weights"])
def test_a_champion_that_cannot_be_read_keeps_its_place(contest, tmp_path, what):
    folder = tmp_path / "artifacts" / "model"
    if what != "gone":
        folder.mkdir(parents=True)
        (folder / DESCRIPTION).write_bytes((contest.stored / "artifacts" / "model" / DESCRIPTION).read_bytes())
    if what == "torn":
        weights = (contest.stored / "artifacts" / "model" / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(weights[: len(weights) // 2])
    first, _ = contest.enter(scores(1.0), stored=tmp_path)
    second, found = contest.enter(scores(0.1), scores(3.0))
    assert found.difference is None
    assert contest.aliases == {"challenger": second, "champion": first}
    assert "cannot be compared: " in contest.tags(second)["raydr.promotion"]


def test_an_evaluation_without_validation_scores_promotes_nobody(contest):
    first, _ = contest.enter(scores(1.0))
    second, found = contest.enter(scores(1.0).slice(0, 0), scores(1.0))
    assert not found.is_champion
    assert not contest.asked
    assert contest.aliases == {"challenger": second, "champion": first}


def test_one_class_among_the_validation_images_promotes_nobody(contest):
    first, _ = contest.enter(scores(1.0))
    one = scores(1.0).filter(pa.array(GRADE < 2))
    assert not contest.enter(one, scores(1.0))[1].is_champion
    assert contest.aliases["champion"] == first
