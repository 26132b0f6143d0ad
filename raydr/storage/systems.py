"""File systems of pyarrow: one client a bucket and process, with time limits that notice an absent store."""

import os
from datetime import timedelta
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs

from raydr.storage.uris import absolute, is_local

_LOCAL: Final = pafs.LocalFileSystem()
_CONNECT_TIMEOUT_S: Final = 5.0
_SILENCE_TIMEOUT_S: Final = 10.0  # of a connection that is open
_ATTEMPTS_A_REQUEST: Final = 3  # the SDK's own: one of a listing's or an upload's many requests need not fail them all


def locate(uri: str, *, in_one_request: bool = False) -> tuple[pafs.FileSystem, str]:
    """The file system of ``uri`` and the path in it, which is that of ``uri`` as it stands: ``%20`` is no space.

    Clients of ``s3://`` and ``gs://`` are kept, for a new one costs 20 to 60 ms. The endpoint of ``s3://`` is that of
    ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL``, else AWS in the bucket's region; credentials come from where the
    AWS SDK looks for them. Those of ``gs://`` are Google's application default credentials, or none where
    ``CLOUD_STORAGE_EMULATOR_ENDPOINT`` or ``STORAGE_EMULATOR_HOST`` names an emulator.

    Args:
        uri: A path or URI.
        in_one_request: What is written to an object of up to 5 MiB goes to S3 when it is closed, in one request.

    Raises:
        ArrowInvalid: ``uri`` is none.
        OSError: AWS does not say where the bucket is.
    """
    scheme, _, rest = uri.rpartition("://")
    if is_local(uri):
        path = rest if scheme else absolute(uri)
        if not path.startswith("/"):
            raise pa.ArrowInvalid(f"{uri}: file:// must be followed by an absolute path")
        return _LOCAL, path.rstrip("/") or "/"
    if scheme not in ("s3", "gs"):
        found: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(uri)
        return found
    bucket = rest.partition("/")[0]
    if "@" in bucket:
        raise pa.ArrowInvalid(f"{scheme}://…@…: credentials belong into the environment, not into a URI")
    if not bucket:
        raise pa.ArrowInvalid(f"{uri}: names no bucket")
    if scheme == "gs":
        emulator = os.environ.get("CLOUD_STORAGE_EMULATOR_ENDPOINT") or os.environ.get("STORAGE_EMULATOR_HOST")
        return _google(emulator or None), rest.rstrip("/")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return _amazon(bucket, endpoint or None, region or None, is_delayed=in_one_request), rest.rstrip("/")


@lru_cache(maxsize=64)
def _amazon(bucket: str, endpoint: str | None, region: str | None, *, is_delayed: bool) -> pafs.S3FileSystem:
    return pafs.S3FileSystem(
        endpoint_override=endpoint,
        region=region if endpoint else _region_of(bucket, region),
        connect_timeout=_CONNECT_TIMEOUT_S,
        request_timeout=_SILENCE_TIMEOUT_S,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS_A_REQUEST),
        allow_delayed_open=is_delayed,
    )


def _region_of(bucket: str, fallback: str | None) -> str:
    """The region that AWS has the bucket in: the environment's is that of the machine."""
    try:
        return str(pafs.resolve_s3_region(bucket))
    except OSError:
        if fallback is None:
            raise
        return fallback


@lru_cache(maxsize=8)
def _google(emulator: str | None) -> pafs.GcsFileSystem:
    limit = timedelta(seconds=_SILENCE_TIMEOUT_S)
    if emulator is None:
        return pafs.GcsFileSystem(retry_time_limit=limit)
    scheme, _, endpoint = emulator.rpartition("://")
    return pafs.GcsFileSystem(
        anonymous=True, scheme=scheme or "http", endpoint_override=endpoint.rstrip("/"), retry_time_limit=limit
    )
