"""Which network interface an address belongs to."""

from raydr.training.interface import interface_of


def test_an_interface_is_found_by_its_address_and_none_by_a_foreign_one():
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("192.0.2.1") is None  # RFC 5737: nobody has it
