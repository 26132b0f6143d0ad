"""What a process says of its node, without a cluster."""

import os
import platform

import pytest

from raydr import storage
from raydr.data import node_reports
from raydr.data.node_reports import count_gpus, own_versions, storage_fault


@pytest.fixture
def sent(tmp_path):
    uri = str(tmp_path / "out" / ".raydr-probe")
    storage.write_bytes(uri, b"hello")
    return uri


def test_storage_that_is_shared_and_writable_has_no_fault_and_nothing_is_left(sent, tmp_path):
    assert storage_fault(sent, b"hello", f"{sent}-0") == ""
    assert [file.name for file in (tmp_path / "out").iterdir()] == [".raydr-probe"]


def test_a_folder_of_another_machine_is_told_from_a_shared_one(sent, tmp_path):
    elsewhere = str(tmp_path / "elsewhere" / ".raydr-probe")
    assert storage_fault(elsewhere, b"hello", f"{elsewhere}-0") == (
        f"what the driver wrote there is not here ({elsewhere}), so it is no storage that the nodes share"
    )
    assert not (tmp_path / "elsewhere").exists()
    assert storage_fault(sent, b"hallo", f"{sent}-0") == f"{sent} is another file here"


def test_storage_that_cannot_be_written_says_why(sent, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way of a folder")
    assert "exists" in storage_fault(sent, b"hello", str(blocked / "own")).lower()


def test_versions_are_those_of_this_process_and_code_is_told_by_its_content(monkeypatch, tmp_path):
    own = own_versions()
    assert own["python"] == platform.python_version()
    assert set(own) == {"python", "ray", "torch", "raydr", "code"}
    for text in ("one = 1\n", "one = 2\n"):
        (tmp_path / "__init__.py").write_text(text)
        monkeypatch.setattr(node_reports.raydr, "__file__", str(tmp_path / "__init__.py"))
        node_reports._code_digest.cache_clear()
        assert own_versions()["code"] != own["code"]
        own = own_versions()
    node_reports._code_digest.cache_clear()


def test_gpus_are_counted_whatever_this_process_was_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(node_reports, "_COUNT_GPUS", "import os; print('CUDA_VISIBLE_DEVICES' in os.environ or 5)")
    assert count_gpus() == 5
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setattr(node_reports, "_COUNT_GPUS", "raise ImportError('libcudart.so.13 is missing')")
    with pytest.raises(RuntimeError, match=r"torch cannot be used: ImportError: libcudart\.so\.13 is missing"):
        count_gpus()
