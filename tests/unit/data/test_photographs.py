"""Reading one photograph: every failure has its reason, and a passing one is tried again."""

import threading

import pytest

from raydr import storage
from raydr.data import photographs
from raydr.data.photographs import decoded, read_photograph
from raydr.images.jpeg import UnreadableImageError


@pytest.fixture
def failing(monkeypatch):
    """Makes the storage raise the given errors, one a call, and counts the calls."""
    calls = []

    def arrange(*errors):
        remaining = list(errors)

        def read(uri):
            calls.append(uri)
            if remaining:
                raise remaining.pop(0)
            return b"content"

        monkeypatch.setattr(storage, "read_bytes", read)
        monkeypatch.setattr(photographs, "_PAUSE_S", 0.0)
        return calls

    return arrange


@pytest.mark.parametrize(
    ("name", "reason"), [("gone.jpeg", "missing"), ("file.jpeg/below.jpeg", "missing"), ("folder.jpeg", "not_a_file")]
)
def test_what_is_no_file_is_named_so(tmp_path, name, reason):
    (tmp_path / "file.jpeg").write_bytes(b"x")
    (tmp_path / "folder.jpeg").mkdir()
    with pytest.raises(UnreadableImageError) as caught:
        read_photograph(str(tmp_path / name))
    assert caught.value.reason == reason
    assert name in caught.value.message


def test_a_forbidden_file_is_not_asked_for_twice(failing):
    calls = failing(PermissionError("no"))
    with pytest.raises(UnreadableImageError, match="permission: "):
        read_photograph("a.jpeg")
    assert len(calls) == 1


def test_a_passing_failure_is_survived_and_a_lasting_one_is_a_reason(failing):
    failing(OSError("slow down"), OSError("slow down"))
    assert read_photograph("a.jpeg") == b"content"
    failing(*[OSError("slow\ndown")] * 3)
    with pytest.raises(UnreadableImageError, match="unreadable: slow down"):
        read_photograph("a.jpeg")


def test_files_come_in_order_with_failures_in_their_place(tmp_path):
    uris = [str(tmp_path / f"{number}.jpeg") for number in range(20)]
    for number in range(0, 20, 2):
        (tmp_path / f"{number}.jpeg").write_bytes(bytes([number]))
    found = list(decoded(uris, lambda content: content[0]))
    assert found[::2] == list(range(0, 20, 2))
    assert all(isinstance(error, UnreadableImageError) and error.reason == "missing" for error in found[1::2])


def test_the_next_files_are_read_while_one_is_decoded(monkeypatch):
    ninth = threading.Event()

    def read(uri):
        if uri == "8":
            ninth.set()
        return uri.encode()

    monkeypatch.setattr(storage, "read_bytes", read)
    found = decoded([f"{number}" for number in range(20)], lambda content: (content, ninth.wait(10)))
    assert list(found) == [(f"{number}".encode(), True) for number in range(20)]
