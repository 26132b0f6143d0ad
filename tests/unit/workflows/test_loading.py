"""A verb is imported without a look for garbage, after which all is as it was."""

import gc

import pytest

from raydr.workflows.loading import workflow_of


@pytest.mark.parametrize("was_enabled", [True, False])
@pytest.mark.parametrize("verb", ["plan", "none_of_ours"])
def test_garbage_is_collected_again_only_if_it_was_before(was_enabled, verb):
    before = gc.isenabled()
    try:
        (gc.enable if was_enabled else gc.disable)()
        if verb == "plan":
            assert workflow_of(verb).__name__ == "plan"
        else:
            with pytest.raises(ModuleNotFoundError):
                workflow_of(verb)
        assert gc.isenabled() == was_enabled
    finally:
        (gc.enable if before else gc.disable)()
