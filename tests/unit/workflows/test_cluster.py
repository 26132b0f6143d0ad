"""A cluster that is not there is told at once."""

import socket
import time

import pytest

from raydr.config.site import ClusterSettings
from raydr.errors import RunError
from raydr.workflows.cluster import connected


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_where_nobody_listens_is_one_line_within_seconds(free_port, scheme):
    started = time.monotonic()
    address = f"{scheme}127.0.0.1:{free_port}"
    with (
        pytest.raises(RunError, match=rf"^cluster: {address} cannot be reached \(.+\); is it up"),
        connected(ClusterSettings(address=address)),
    ):
        pytest.fail("there is no cluster")
    assert time.monotonic() - started < 5
