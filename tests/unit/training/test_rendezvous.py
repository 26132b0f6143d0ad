"""Where workers meet depends on whether the cluster is of this machine alone."""

import pytest

from raydr.data.nodes import Node
from raydr.training.interface import RaysInterface
from raydr.training.rendezvous import FileRendezvous, rendezvous


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
