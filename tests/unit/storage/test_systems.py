"""Which client serves which URI, made once; no server is asked."""

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from raydr.storage.systems import locate


@pytest.fixture
def variables(monkeypatch):
    """Sets the standard variables, and unsets those that are not named."""

    def arrange(**values):
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return arrange


def test_a_client_is_made_once_for_a_bucket_and_an_endpoint(variables):
    variables(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_REGION="eu-west-1")
    first, path = locate("s3://retina/a/b")
    assert isinstance(first, pafs.S3FileSystem)
    assert path == "retina/a/b"
    assert locate("s3://retina/c/")[0] is first
    variables(AWS_ENDPOINT_URL="http://127.0.0.1:10", AWS_REGION="eu-west-1")
    assert locate("s3://retina/c")[0] is not first


def test_the_variable_of_s3_alone_wins_over_that_of_all_services(variables):
    variables(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ENDPOINT_URL_S3="http://127.0.0.1:10", AWS_REGION="eu-west-1")
    both = locate("s3://retina/a")[0]
    variables(AWS_ENDPOINT_URL="http://127.0.0.1:10", AWS_REGION="eu-west-1")
    assert locate("s3://retina/a")[0] is both


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_beside_an_endpoint_is_that_of_the_environment(variables, name):
    variables(AWS_ENDPOINT_URL="http://127.0.0.1:9", **{name: "eu-north-1"})
    assert locate("s3://retina/a")[0].region == "eu-north-1"


def test_keys_are_taken_as_they_stand(variables):
    variables(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_REGION="eu-west-1")
    assert locate("s3://retina/a b/ü#1?%20.jpeg")[1] == "retina/a b/ü#1?%20.jpeg"
    assert locate("file:///a b/%20.jpeg")[1] == "/a b/%20.jpeg"


def test_google_is_a_client_of_its_own_and_another_one_for_an_emulator(monkeypatch):
    for name in ("CLOUD_STORAGE_EMULATOR_ENDPOINT", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    system, path = locate("gs://retina/a/b.jpeg")
    assert isinstance(system, pafs.GcsFileSystem)
    assert path == "retina/a/b.jpeg"
    assert locate("gs://other")[0] is system
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    assert locate("gs://retina/a")[0] is not system


@pytest.mark.parametrize(
    ("uri", "said"), [("s3:///a", "no bucket"), ("gs://", "no bucket"), ("file://a/b", "absolute path")]
)
def test_what_is_no_uri_is_refused(uri, said):
    with pytest.raises(pa.ArrowInvalid, match=said):
        locate(uri)


def test_credentials_in_a_uri_are_refused_and_not_repeated():
    with pytest.raises(pa.ArrowInvalid, match="environment") as caught:
        locate("s3://AKIA:secret@retina/a")
    assert "secret" not in str(caught.value)
