"""Several hosts with addresses of their own: where a training's actors are, and what its gradients travel over."""

import sys

import pytest

PLACES = """
import ray
from raydr.data.nodes import start_here

class Place:
    def node_id(self):
        return ray.get_runtime_context().get_node_id()

ray.init(log_to_driver=False)
actors = [start_here(Place, "place")[1] for _ in range(8)]
here = ray.get_runtime_context().get_node_id()
print([ray.get(actor.node_id.remote()) == here for actor in actors])
"""
SUM = """
import datetime, sys
import torch, torch.distributed as dist
from raydr.training import rendezvous

rendezvous.ray.util.get_node_ip_address = lambda: sys.argv[2]
rendezvous._use_rays_interface()
rank, patience = int(sys.argv[1]), datetime.timedelta(seconds=20)
dist.init_process_group("gloo", init_method="tcp://10.77.0.1:5000", rank=rank, world_size=2, timeout=patience)
total = torch.tensor(rank + 1.0)
dist.all_reduce(total)
print(total.item())
"""


def test_workers_meet_over_rays_addresses_where_the_hosts_names_are_loopback(hosts):
    pair = [hosts.add(), hosts.add()]
    started = [
        host.start(sys.executable, "-c", SUM, str(rank), host.address, log=host.folder / "log")
        for rank, host in enumerate(pair)
    ]
    for process, host in zip(started, pair, strict=True):
        said = (host.folder / "log").read_text
        assert process.wait(120) == 0, said()
        assert said().splitlines()[-1] == "3.0"


@pytest.mark.ray
@pytest.mark.survival
def test_what_a_training_cannot_do_without_is_on_the_drivers_host(hosts):
    head, other = hosts.add(), hosts.add()
    head.start_ray(num_cpus=0)
    head.wait_for_nodes(1)
    other.start_ray(num_cpus=2, head=head)
    head.wait_for_nodes(2)
    assert head.run(sys.executable, "-c", PLACES, head=head).splitlines()[-1] == str([True] * 8)
