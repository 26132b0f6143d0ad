"""Where a program and all that it has started listen, and their command lines."""

import contextlib
import ipaddress
from collections.abc import Iterator

import psutil


def family(process_id: int) -> list[psutil.Process]:
    """The process and all below it."""
    parent = psutil.Process(process_id)
    return [parent, *parent.children(recursive=True)]


def listening(process_id: int) -> list[tuple[str, str]]:
    """The name of a process and the address, of every socket that waits for somebody."""
    return list(_sockets(process_id))


def _sockets(process_id: int) -> Iterator[tuple[str, str]]:
    for member in family(process_id):
        with contextlib.suppress(psutil.NoSuchProcess):  # it may just have ended
            for connection in member.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    yield member.name(), connection.laddr.ip


def command_lines(process_id: int) -> list[str]:
    """What each of them was started with."""
    found = []
    for member in family(process_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(" ".join(member.cmdline()))
    return found


def is_loopback(text: str) -> bool:
    """Whether an address, an IPv4 one within IPv6 too, is reached from this machine alone."""
    address = ipaddress.ip_address(text)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
