"""A training's state on disk: what is loaded is what was saved, anything else is refused."""

import hashlib
import io
import json
import pickle
from pathlib import Path

import pytest
import torch

from raydr.engine.moving_average import MovingAverage
from raydr.engine.state import Progress, StateError, TornStateError, load_state, take_snapshot, weights_copy

PROGRESS = Progress(3, 7, 10, 4.5, 1, 0.75, [{"epoch": 0.0, "loss": 1.5}])


@pytest.fixture
def trained():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW([{"params": network.parameters(), "peak_lr": 0.1}], lr=0.1)
    network(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    return network, optimizer


@pytest.fixture
def saved(trained, tmp_path):
    network, optimizer = trained
    snapshot = take_snapshot(
        network=network,
        optimizer=optimizer,
        progress=PROGRESS,
        best_weights=weights_copy(network),
        settings_digest="abc",
        average=MovingAverage(network, 0.9),
    )
    snapshot.write(tmp_path / "state")
    return tmp_path / "state"


def fresh():
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    return network, torch.optim.AdamW([{"params": network.parameters(), "peak_lr": 0.5}], lr=0.5)


def test_a_loaded_state_is_the_saved_one(trained, saved):
    network, optimizer = fresh()
    progress, best = load_state(saved, network=network, optimizer=optimizer, settings_digest="abc")
    assert progress == PROGRESS
    for name, tensor in trained[0].state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)
        assert torch.equal(best[name], tensor)
    assert optimizer.param_groups[0]["peak_lr"] == 0.5, "rates are the settings', which a search may change on the way"
    moments, kept = optimizer.state_dict()["state"][0], trained[1].state_dict()["state"][0]
    assert torch.equal(moments["exp_avg"], kept["exp_avg"])


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "best.safetensors", "average.safetensors"])
def test_a_torn_file_is_refused_by_name(saved, name):
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[:-1])
    network, optimizer = fresh()
    with pytest.raises(TornStateError, match=name):
        load_state(saved, network=network, optimizer=optimizer, settings_digest="abc")


def test_a_state_of_other_settings_is_refused(saved):
    network, optimizer = fresh()
    with pytest.raises(StateError, match="other settings"):
        load_state(saved, network=network, optimizer=optimizer, settings_digest="abd")


def test_a_state_without_its_description_is_refused(saved):
    (saved / "state.json").write_text(json.dumps({"epochs_done": 1}))
    network, optimizer = fresh()
    with pytest.raises(TornStateError, match=r"state\.json"):
        load_state(saved, network=network, optimizer=optimizer, settings_digest="abc")


class Canary:
    """What makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors", "best.safetensors"])
def test_a_pickle_in_place_of_a_file_is_not_run_though_its_digest_is_right(saved, tmp_path, name):
    content = pickle.dumps(Canary(tmp_path / "proof"), protocol=2)  # torch's own
    pickle.loads(content)
    (tmp_path / "proof").unlink()  # it would sing
    described = json.loads((saved / "state.json").read_text())
    for planted in (content, _as_torch_saves(Canary(tmp_path / "proof"))):
        (saved / name).write_bytes(planted)
        described["sha256"][name] = hashlib.sha256(planted).hexdigest()
        (saved / "state.json").write_text(json.dumps(described))
        network, optimizer = fresh()
        with pytest.raises(TornStateError, match=rf"{name} holds something else than tensors"):
            load_state(saved, network=network, optimizer=optimizer, settings_digest="abc")
    assert not (tmp_path / "proof").exists()


def _as_torch_saves(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_a_snapshot_is_apart_from_the_training_that_goes_on(trained, tmp_path):
    network, optimizer = trained
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    moment = optimizer.state_dict()["state"][0]["exp_avg"].clone()
    snapshot = take_snapshot(
        network=network, optimizer=optimizer, progress=PROGRESS, best_weights=None, settings_digest="abc"
    )
    network(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    snapshot.write(tmp_path / "later")
    other, other_optimizer = fresh()
    load_state(tmp_path / "later", network=other, optimizer=other_optimizer, settings_digest="abc")
    for name, tensor in before.items():
        assert torch.equal(other.state_dict()[name], tensor)
    assert torch.equal(other_optimizer.state_dict()["state"][0]["exp_avg"], moment)
