"""A run says what it cannot do before its first stage."""

from pathlib import Path

import pytest

from raydr.config.load import load
from raydr.errors import InputError
from raydr.workflows.run import run

JOB = Path(__file__).parents[3] / "jobs" / "demo.toml"


def test_a_network_that_only_the_search_would_try_is_refused_before_anything_is_made(tmp_path):
    space = {"model.backbone": {"kind": "choice", "values": ["resnet18", "resnet5x"]}}
    overrides = {"search.space": space, "out": str(tmp_path / "out"), "distill.model.weights": "none"}
    with pytest.raises(InputError, match=r'^search\.space\."model\.backbone": timm knows no model \'resnet5x\''):
        run(load("run", [JOB], overrides=overrides))
    assert not (tmp_path / "out").exists()
