"""Where a heat map's file lies."""

import pytest

from raydr.inference.scorer import heat_map_name


def test_namesakes_in_other_folders_have_maps_of_their_own_and_the_name_tells_whose_it_is():
    names = [heat_map_name(f"s3://bucket/{folder}/10_left.jpeg") for folder in ("a", "b", "a")]
    assert names[0] == names[2] != names[1]
    assert all(name.startswith("10_left-") and name.endswith(".jpeg") for name in names)


@pytest.mark.parametrize("uri", ["x/..", "x/../..jpeg", "x/a:b*?.png", "x/" + "é" * 300 + ".png", "x/ .jpeg"])
def test_a_name_never_leaves_its_folder_and_fits_every_file_system(uri):
    name = heat_map_name(uri)
    assert "/" not in name
    assert name.isascii()
    assert len(name) <= 120
    assert name.strip(".") == name
