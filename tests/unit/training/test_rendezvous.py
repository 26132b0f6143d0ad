"""Where workers meet depends on whether the cluster is of this machine alone; what Ray's backends are told to do."""

from pathlib import Path

import pytest
import ray

from raydr.data.nodes import Node
from raydr.training.rendezvous import FileRendezvous, RaysInterface, interface_of, rendezvous


class _Group:
    """A worker group that writes down what its workers are to do, in order."""

    def __init__(self, *, gpus=0.0):
        self.gpus, self.calls = gpus, []

    def __len__(self):
        return 2

    def get_resources_per_worker(self):
        return {"CPU": 1.0, "GPU": self.gpus}

    def execute(self, function, **options):
        self.calls.append((function.__name__, options))

    execute_async = execute

    def execute_single(self, rank, function):
        return "10.0.0.1", 29500

    def execute_single_async(self, rank, function, **options):
        self.calls.append((function.__name__, options))

    @property
    def joining(self):
        return [options for name, options in self.calls if name == "_setup_torch_process_group"]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.setattr(ray, "get", lambda _, timeout=None: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.mark.parametrize(
    ("addresses", "kind"),
    [
        (["127.0.0.1"], FileRendezvous),
        (["::1"], FileRendezvous),
        (["10.0.0.1"], RaysInterface),
        (["127.0.0.1", "10.0.0.2"], RaysInterface),
    ],
)
def test_only_workers_of_one_machine_meet_in_a_file(addresses, kind):
    nodes = [Node(2.0, 0.0, 1e9, {}, address=address) for address in addresses]
    assert type(rendezvous(nodes)) is kind


def test_workers_of_several_hosts_know_rays_interface_before_they_meet():
    config, group = RaysInterface(), _Group()
    config.backend_cls().on_start(group, config)
    assert group.calls[0] == ("_use_rays_interface", {})
    assert [options["init_method"] for options in group.joining] == ["env://"] * 2


@pytest.mark.parametrize(
    ("config", "gpus", "backend", "timeout_s"),
    [
        (FileRendezvous(), 0.0, "gloo", 1800),
        (FileRendezvous(), 1.0, "nccl", 1800),
        (FileRendezvous(backend="gloo", timeout_s=60), 1.0, "gloo", 60),
    ],
)
def test_workers_of_one_machine_meet_as_configured_in_one_file_that_is_new(tmp_path, config, gpus, backend, timeout_s):
    group, started = _Group(gpus=gpus), config.backend_cls()
    for _ in range(2):
        started.on_start(group, config)
    files = [options["init_method"] for options in group.joining]
    assert files[0] == files[1] != files[2] == files[3]
    assert all(file.startswith(f"file://{tmp_path}/raydr-workers-") for file in files)
    assert [options["world_rank"] for options in group.joining] == [0, 1, 0, 1]
    assert {(options["backend"], options["timeout_s"]) for options in group.joining} == {(backend, timeout_s)}


def test_no_file_is_left_of_workers_that_left_died_or_were_ended_without_a_word():
    def start():
        backend.on_start(group, config)
        file = Path(group.joining[-1]["init_method"].removeprefix("file://"))
        file.touch()
        return file

    group, config = _Group(), FileRendezvous()
    backend = config.backend_cls()
    ended, left = start(), start()
    assert (ended.exists(), left.exists()) == (False, True)
    backend.on_shutdown(group, config)
    assert not left.exists()
    died = start()
    group.execute_async = lambda *_, **__: pytest.fail("they are dead")
    with pytest.raises(pytest.fail.Exception, match="dead"):
        backend.on_shutdown(group, config)
    assert not died.exists()


def test_an_interface_is_found_by_its_address_and_none_by_a_foreign_one():
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None  # RFC 5737: nobody has it
