"""Every photograph below a folder is found once, by the name that labels give it."""

from pathlib import Path

import pytest

from raydr.data.folders import find_images
from raydr.errors import InputError


def folder(root: Path, *names: str) -> str:
    for name in names:
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return str(root / "images")


def test_finding_images_leaves_out_hidden_files_and_other_kinds(tmp_path):
    found = find_images(folder(tmp_path, "a.jpg", "._a.jpg", ".cache/b.jpg", "notes.txt", "c.v2.TIF"))
    assert sorted(found) == ["a", "c.v2"]


def test_two_files_that_differ_in_suffix_alone_are_an_error(tmp_path):
    with pytest.raises(InputError, match="but for its suffix"):
        find_images(folder(tmp_path, "a.jpg", "a.png"))


def test_links_are_followed_but_not_in_a_circle_nor_where_they_lead_nowhere(tmp_path):
    images = Path(folder(tmp_path, "a/x.jpg"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "y.jpg").write_bytes(b"y")
    (images / "linked").symlink_to(tmp_path / "elsewhere")
    (images / "z.jpg").symlink_to(tmp_path / "elsewhere" / "y.jpg")
    (images / "a" / "circle").symlink_to(images)
    (images / "broken.jpg").symlink_to(tmp_path / "nothing.jpg")
    assert sorted(find_images(str(images))) == ["a/x", "linked/y", "z"]


def test_a_file_uri_works_like_its_path(tmp_path):
    images = folder(tmp_path, "1_left.jpeg", "2_left.jpeg")
    found = find_images(f"file://{images}")
    assert found["1_left"] == f"file://{images}/1_left.jpeg"
    assert list(found) == list(find_images(images))
