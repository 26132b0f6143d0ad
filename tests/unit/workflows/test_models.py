"""Where the nodes of a cluster find a model."""

from raydr.workflows.models import on_every_node


def a_model(folder):
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "model.json").write_text("{}")
    return str(folder)


def test_a_fetched_model_lies_among_the_results_while_it_is_needed(tmp_path):
    fetched, copy = a_model(tmp_path / "fetched"), tmp_path / "out" / "fetched-model"
    with on_every_node("models:/raydr@champion", fetched, str(copy)) as reachable:
        assert reachable == str(copy)
        assert (copy / "model.safetensors").read_bytes() == b"weights"
        assert (copy / "model.json").read_text() == "{}"
    assert not copy.exists()
    assert (tmp_path / "fetched" / "model.json").exists()


def test_a_model_that_is_a_folder_is_read_where_it_is(tmp_path):
    folder = a_model(tmp_path / "model")
    with on_every_node(folder, folder, str(tmp_path / "copy")) as reachable:
        assert reachable == folder
        assert not (tmp_path / "copy").exists()
