"""Reading one photograph: every failure has its reason, and a passing one is tried again."""

import os
import subprocess
import sys
import threading
from pathlib import Path

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


def test_a_link_that_leads_nowhere_is_missing(tmp_path):
    (tmp_path / "link.jpeg").symlink_to(tmp_path / "gone.jpeg")
    with pytest.raises(UnreadableImageError, match=r"^missing: "):
        read_photograph(str(tmp_path / "link.jpeg"))


def test_a_file_without_permission_is_named_so(tmp_path):
    path = tmp_path / "secret.jpeg"
    path.write_bytes(b"x")
    path.chmod(0)
    assert reason_as_nobody(str(path)) == "permission"


def test_a_file_in_a_closed_folder_is_named_so(tmp_path):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a.jpeg").write_bytes(b"x")
    (tmp_path / "closed").chmod(0)
    try:
        assert reason_as_nobody(str(tmp_path / "closed" / "a.jpeg")) == "permission"
    finally:
        (tmp_path / "closed").chmod(0o700)


def reason_as_nobody(path: str) -> str:
    """Why a user without rights cannot read a file; asked in another process, as root may read everything."""
    code = (
        "import os, sys\n"
        "from raydr.data.photographs import UnreadableImageError, read_photograph\n"
        "if os.getuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    read_photograph(sys.argv[1])\n"
        "except UnreadableImageError as error:\n"
        "    print(error.reason)\n"
    )
    for folder in list(Path(path).parents)[1:]:
        if os.getuid() == 0 and folder.stat().st_uid == 0 and "pytest" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o011)  # or it is an outer folder that forbids
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout.strip()


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


def test_an_object_that_alone_does_not_come_is_unavailable_and_an_absent_store_is_no_photographs_fault(
    failing, monkeypatch
):
    away = storage.UnavailableError(11, "the store does not answer", "s3://retina/a.jpeg")
    monkeypatch.setattr(storage, "store_answers", lambda _: True)
    calls = failing(away)
    with pytest.raises(UnreadableImageError, match="unavailable: the store does not answer"):
        read_photograph("s3://retina/a.jpeg")
    assert len(calls) == 1
    monkeypatch.setattr(storage, "store_answers", lambda _: False)
    failing(away)
    with pytest.raises(storage.UnavailableError):
        list(decoded(["s3://retina/a.jpeg"], lambda content: content))


def test_what_a_store_refuses_for_another_reason_is_not_asked_for_twice(failing):
    calls = failing(storage.StoreError(5, "status 301", "s3://retina/a.jpeg"))
    with pytest.raises(UnreadableImageError, match="unreadable: status 301"):
        read_photograph("s3://retina/a.jpeg")
    assert len(calls) == 1


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
