"""What passes is waited for, what stays is said at once, and the wait ends."""

import pickle

import pytest

from raydr import storage
from raydr.storage import patience
from raydr.storage.patience import DeniedError, MissingError, StoreError, UnavailableError, patiently

URI = "s3://retina/a.jpeg"
REFUSED = (
    "When getting information for key 'a' in bucket 'retina': AWS Error NETWORK_CONNECTION during HeadObject operation:"
    " curlCode: 7, Could not connect to server"
)
PASSING = [
    REFUSED,
    "When uploading part: AWS Error INTERNAL_FAILURE during UploadPart operation: We encountered an internal error",
    "AWS Error SLOW_DOWN during GetObject operation: Please reduce your request rate.",
    "AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body.",
    "AWS Error UNKNOWN (HTTP status 429) during GetObject operation: ",
    "google::cloud::Status(UNAVAILABLE: Retry policy exhausted in ReadObject: EasyPerform() - CURL error [7])",
]
LASTING = [
    ("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", DeniedError, "refuses access"),
    ("AWS Error SIGNATURE_DOES_NOT_MATCH during ListObjectsV2 operation: The request sig…", DeniedError, "credentials"),
    ("AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: ", DeniedError, "refuses access"),
    ("google::cloud::Status(PERMISSION_DENIED: caller has no storage.objects.get)", DeniedError, "refuses access"),
    ("AWS Error NO_SUCH_BUCKET during ListObjectsV2 operation: The …", MissingError, "no such bucket"),
    ("Bucket 'retina' not found. To create buckets, enable …", MissingError, "no such bucket"),
    ("AWS Error UNKNOWN (HTTP status 301) during HeadObject operation: No response body.", StoreError, "status 301"),
]


@pytest.fixture
def pauses(monkeypatch):
    """Lets no time pass but the pauses, which it lists."""
    slept = []
    monkeypatch.setattr(patience.time, "sleep", slept.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(slept))
    return slept


def _failing(errors):
    remaining = list(errors)

    def action():
        if remaining:
            raise remaining.pop(0)
        return "done"

    return action


@pytest.mark.parametrize("text", PASSING)
def test_a_failure_that_passes_is_followed_by_another_attempt(pauses, text):
    assert patiently(URI, _failing([OSError(text)] * 3)) == "done"
    assert len(pauses) == 3


@pytest.mark.parametrize(("text", "kind", "said"), LASTING)
def test_what_stays_is_said_at_once_in_one_line_with_the_uri(pauses, text, kind, said):
    with pytest.raises(kind) as caught:
        patiently(URI, _failing([OSError(f"When …:\n {text} (Request ID: 18EB)")]))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"{URI}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Request ID" not in str(caught.value)
    assert not pauses


def test_pyarrows_own_missing_file_stays_a_file_not_found_error(pauses):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        patiently(URI, _failing([FileNotFoundError(2, "Path does not exist 'retina/a.jpeg'")]))


def test_patience_ends_and_pauses_grow_at_random(pauses):
    with pytest.raises(UnavailableError, match=r"does not answer .*curlCode: 7"):
        patiently(URI, _failing([OSError(REFUSED)] * 1000))
    assert patience.PATIENCE_S - 10 <= sum(pauses) <= patience.PATIENCE_S
    limits = [min(0.5 * 2**number, 10.0) for number in range(len(pauses))]
    assert all(0 <= pause <= limit for pause, limit in zip(pauses, limits, strict=True))
    assert len(set(pauses)) == len(pauses)


def test_a_local_file_gets_one_attempt_and_keeps_its_error(pauses, tmp_path):
    error = OSError("AWS Error SLOW_DOWN")
    with pytest.raises(OSError, match="SLOW_DOWN") as caught:
        patiently(str(tmp_path / "a"), _failing([error]))
    assert caught.value is error
    assert not pauses


def test_the_wait_is_announced_once(pauses, caplog):
    patiently(URI, _failing([OSError(REFUSED)] * 5))
    assert [record.getMessage().count("trying again for up to 120 s") for record in caplog.records] == [1]


@pytest.mark.parametrize("kind", [StoreError, MissingError, DeniedError, UnavailableError])
def test_an_error_survives_the_way_from_a_worker(kind):
    error = kind(5, "cause", URI)
    error.args += ("advice of Ray Data",)
    error = pickle.loads(pickle.dumps(error))
    assert type(error) is kind
    assert str(error) == f"{URI}: cause"
    assert storage.cause_of(error) == "cause"
