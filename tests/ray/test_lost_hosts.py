"""A training on several hosts with addresses of their own: real sockets, and hosts that go with and without a word."""

import json
import re
import sys
import threading
import time
from pathlib import Path

import pytest
from hosts import Hosts, why_not
from mlflow import MlflowClient
from pretrain_command import HURRIED, STEPS, losses_of, wait_for_state, write_ground, write_settings

pytestmark = [pytest.mark.ray, pytest.mark.survival]

CLUSTER = Path(__file__).parents[2] / "cluster"
HEALTH_CHECK = dict(
    pair.split("=") for pair in re.findall(r"RAY_health_check_\w+=\d+", (CLUSTER / "Dockerfile").read_text())
)
"""How soon a silent host counts as lost, as in the image of every cluster."""
A_TRAINER = 1.5
"""CPUs: a host of two has room for one trainer and one decoding task."""
SAVE_EVERY, EPOCHS = 10, 2
NOTICE_S = 15
_START_S, _GO_ON_S = 200, 300


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, write_photographs):
    """A folder that all hosts share."""
    folder = tmp_path_factory.mktemp("work")
    write_ground(folder, write_photographs)
    return folder


def start_cluster(hosts):
    """A head that does no work, and two hosts that do."""
    head = hosts.add(**HEALTH_CHECK)
    head.start_ray(num_cpus=0)
    workers = [hosts.add() for _ in range(2)]
    head.wait_for_nodes(1)
    for worker in workers:
        worker.start_ray(num_cpus=2, head=head)
    head.wait_for_nodes(3)
    return head, workers


class Command:
    """`raydr pretrain` on a cluster's head, as a person would call it there, and what it says, with the time."""

    def __init__(self, head, config, *settings):
        changes = [part for setting in settings for part in ("--set", setting)]
        self.lines, self.started = [], time.monotonic()
        self._process = head.start(
            sys.executable, str(HURRIED), "pretrain", "--config", str(config), *changes, head=head
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            self.lines.append((time.monotonic(), line.rstrip()))

    @property
    def output(self):
        return "\n".join(f"{at - self.started:7.1f} {line}" for at, line in self.lines)

    def shown(self):
        """How many steps had been done, whenever figures were shown."""
        found = re.findall(r"pretrain epoch (\d+)/\d+ step (\d+)/(\d+)", self.output)
        return [(int(epoch) - 1) * int(of) + int(step) for epoch, step, of in found]

    def wait_for_more(self, count, within_s):
        """The first figures shown after so many of them."""
        deadline = time.monotonic() + within_s
        while len(self.shown()) <= count:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)
        return self.shown()[count]

    def finish(self, within_s=300):
        status = self._process.wait(within_s)
        self._thread.join()
        assert status == 0, self.output


@pytest.fixture(scope="module")
def one_host(workplace, tmp_path_factory):
    """The losses of two workers on one host."""
    if why_not() is not None:
        return None
    with Hosts(tmp_path_factory.mktemp("one")) as hosts:
        head = hosts.add()
        head.start_ray(num_cpus=4)
        head.wait_for_nodes(1)
        Command(head, write_settings(workplace, "one", epochs=EPOCHS)).finish()
    return pytest.approx(losses_of(workplace, "one"), abs=1e-5)


def test_two_hosts_learn_over_their_sockets_what_one_host_learns(workplace, hosts, one_host):
    head, workers = start_cluster(hosts)
    command = Command(head, write_settings(workplace, "two", epochs=EPOCHS, cpus_per_worker=A_TRAINER))
    command.wait_for_more(0, within_s=_START_S)
    trainers = [host.running("RayTrainWorker") for host in workers]
    assert [len(found) for found in trainers] == [1, 1]
    # What a training cannot do without is not lost with a host that works.
    assert [len(head.running(name)) for name in ("RayTrainWorker", "_Board", "_Clock")] == [0, 1, 1]
    for host, other, [trainer] in zip(workers, workers[::-1], trainers, strict=True):
        assert other.address in host.peers(trainer)
    command.finish()
    assert losses_of(workplace, "two") == one_host
    [log] = head.folder.glob("ray/session_2*/logs/train/*sys-controller*.log")
    placed = re.findall(r"ip=([\d.]+), pid=\d+\) world_rank=(\d), local_rank=(\d), node_rank=(\d)", log.read_text())
    assert {(address, local) for address, _, local, _ in placed} == {(host.address, "0") for host in workers}
    assert {(rank, node) for _, rank, _, node in placed} == {("0", "0"), ("1", "1")}


def test_a_host_that_is_announced_as_lost_costs_no_step_before_the_notice(workplace, hosts, one_host):
    head, [_, spot] = start_cluster(hosts)
    config = write_settings(workplace, "spot", epochs=EPOCHS, cpus_per_worker=A_TRAINER)
    only = ("cluster.max_failures=0", f"cluster.save_every_steps={100 * STEPS}")
    command = Command(head, config, *only)
    command.wait_for_more(0, within_s=_START_S)
    notice = spot.start(str(CLUSTER / "spot_notice.sh"), "now", str(NOTICE_S), head=head)
    before = command.shown()[-1]
    state, _ = wait_for_state(workplace, "spot", beside=set())
    kept = state["epochs_done"] * STEPS + state["steps_done"]
    assert kept >= before
    assert notice.wait(120) == 0
    hosts.unplug(spot)
    spot.power_off()
    hosts.add().start_ray(num_cpus=2, head=head)
    assert command.wait_for_more(len(command.shown()), within_s=_GO_ON_S) >= kept
    command.finish()
    assert losses_of(workplace, "spot") == one_host


def test_a_host_that_falls_silent_is_gone_on_without(workplace, hosts):
    head, workers = start_cluster(hosts)
    config = write_settings(workplace, "silent", epochs=EPOCHS, cpus_per_worker=A_TRAINER)
    command = Command(head, config, "cluster.num_workers=1", "cluster.max_workers=2")
    wait_for_state(workplace, "silent", beside=set())
    command.wait_for_more(len(command.shown()), within_s=_START_S)
    assert [len(host.running("RayTrainWorker")) for host in workers] == [1, 1]
    hosts.unplug(workers[1])
    time.sleep(3)  # what was under way is shown
    shown = command.shown()
    assert command.wait_for_more(len(shown), within_s=_GO_ON_S) >= shown[-1] - SAVE_EVERY
    command.finish()
    assert "1 of at most 2 workers are training" in command.output


def test_a_head_that_dies_is_replaced_and_the_same_command_goes_on_in_the_same_mlflow_run(workplace, hosts, one_host):
    store = f"sqlite:///{workplace}/mlflow.db"
    config = write_settings(workplace, "head", tracking=f'uri = "{store}"', epochs=EPOCHS, cpus_per_worker=A_TRAINER)
    head, _ = start_cluster(hosts)
    command = Command(head, config)
    wait_for_state(workplace, "head", beside=set())
    shown = command.wait_for_more(len(command.shown()), within_s=_START_S)
    [run] = MlflowClient(store).search_runs(["1"])
    hosts.unplug(head)
    head.power_off()
    head, _ = start_cluster(hosts)
    command = Command(head, config)
    assert command.wait_for_more(0, within_s=_START_S) >= shown - 2 * SAVE_EVERY
    command.finish()
    assert losses_of(workplace, "head") == one_host
    assert json.loads((workplace / "head" / "result.json").read_text())["mlflow_run_id"] == run.info.run_id
    client = MlflowClient(store)
    history = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")]
    assert [step for step, _ in history] == list(range(EPOCHS))
    assert [value for _, value in history] == one_host
    assert client.get_run(run.info.run_id).info.status == "FINISHED"
