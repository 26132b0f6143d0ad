"""Aliases and tags of a registered model's versions."""

import pytest

from raydr.errors import InputError
from raydr.tracking.registry import CHAMPION, fetch_version, set_alias, tag_version, version_made_by, version_of
from raydr.tracking.runs import NoTracker
from raydr.tracking.store import open_client


@pytest.fixture(scope="module")
def versions(tracker, tmp_path_factory):
    client = open_client(tracker.uri)
    client.create_registered_model("aliased")
    folder = str(tmp_path_factory.mktemp("nothing"))
    return [str(client.create_model_version("aliased", folder).version) for _ in range(2)]


def test_an_alias_is_nobodys_until_it_is_set_and_moves_to_another_version(tracker, versions):
    assert version_of(tracker, "aliased", CHAMPION) is None
    for version in versions:
        set_alias(tracker, "aliased", CHAMPION, version)
        assert version_of(tracker, "aliased", CHAMPION) == version
    assert version_of(tracker, "no-such-model", CHAMPION) is None


def test_the_champion_of_a_deleted_version_is_nobody(tracker):
    client = open_client(tracker.uri)
    client.create_registered_model("deleted")
    version = str(client.create_model_version("deleted", "nowhere").version)
    set_alias(tracker, "deleted", CHAMPION, version)
    client.delete_model_version("deleted", version)
    assert version_of(tracker, "deleted", CHAMPION) is None


def test_a_version_keeps_its_tags_and_a_new_value_replaces_the_old_one(tracker, versions):
    tag_version(tracker, "aliased", versions[0], {"raydr.auc.clinic b": "0.8 [0.7, 0.9]", "raydr.promotion": "first"})
    tag_version(tracker, "aliased", versions[0], {"raydr.promotion": "second"})
    tags = open_client(tracker.uri).get_model_version("aliased", versions[0]).tags
    assert tags == {"raydr.auc.clinic b": "0.8 [0.7, 0.9]", "raydr.promotion": "second"}


def test_the_version_that_a_run_has_registered_with_the_same_tags_is_found_again(tracker):
    client = open_client(tracker.uri)
    client.create_registered_model("found")
    run = client.create_run("0").info.run_id
    tags = {"raydr.role": "student", "raydr.settings_digest": "a"}
    made = [str(client.create_model_version("found", "nowhere", run, tags=tags).version) for _ in range(2)]
    client.create_model_version("found", "nowhere", run, tags={**tags, "raydr.settings_digest": "b"})
    client.create_model_version("found", "nowhere", tags=tags)
    assert version_made_by(tracker, "found", run, tags) == made[-1]
    assert version_made_by(tracker, "found", run, {**tags, "raydr.role": "teacher"}) is None
    assert version_made_by(tracker, "none-such", run, tags) is None


def test_a_version_without_a_model_of_raydr_is_one_clear_line(tracker, versions):
    with pytest.raises(InputError, match=r"^models:/aliased/1: no such model of raydr in the MLflow store$"):
        fetch_version(tracker, "aliased", versions[0])


def test_without_tracking_nobody_has_an_alias():
    set_alias(NoTracker(), "aliased", CHAMPION, "1")
    tag_version(NoTracker(), "aliased", "1", {"a": "b"})
    assert version_of(NoTracker(), "aliased", CHAMPION) is None
