"""Files read, written, listed and deleted; whole files or none."""

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from raydr.storage.patience import StoreError, UnavailableError, patiently
from raydr.storage.systems import locate
from raydr.storage.uris import absolute, bucket_of, is_local, join

_Result = TypeVar("_Result")
_UNFINISHED: Final = re.compile(r"\..+\.[0-9a-f]{8}", re.DOTALL)
_ONE_REQUEST_BYTES: Final = 5 * 2**20
_CHUNK_BYTES: Final = 8 * 2**20  # what a digest asks an object store for at once


def exists(uri: str) -> bool:
    """Whether a file or a folder is there; in an object store a folder is what objects have before a slash."""
    return bool(_info(uri).type != pafs.FileType.NotFound)


def is_folder(uri: str) -> bool:
    """Whether ``uri`` is a folder."""
    return bool(_info(uri).type == pafs.FileType.Directory)


def bucket_exists(uri: str) -> bool:
    """Whether the bucket of ``uri`` is there; a local file needs none."""
    return is_local(uri) or exists(bucket_of(uri))


def store_answers(uri: str) -> bool:
    """Whether the object store of ``uri`` answers for its bucket, were it a refusal, asked without patience."""
    try:
        patiently(uri, lambda: _info_once(bucket_of(uri)), patience_s=0.0)
    except UnavailableError:
        return False
    except StoreError:
        return True
    return True


def file_versions(uris: list[str]) -> list[tuple[int | None, int | None]]:
    """(bytes, modification time in ns) of every file, None where it is not there; asked for at once."""

    def version(uri: str) -> tuple[int | None, int | None]:
        info = _info(uri)
        return info.size, info.mtime_ns

    if all(is_local(uri) for uri in uris):
        return [version(uri) for uri in uris]
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(version, uris))


def read_with(uri: str, read: Callable[[pa.NativeFile], _Result]) -> _Result:
    """What ``read`` makes of an open file with random access; it starts again where an object store fails it."""

    def attempt() -> _Result:
        system, path = locate(uri)
        with system.open_input_file(path) as file:
            return read(file)

    return patiently(uri, attempt)


def read_bytes(uri: str) -> bytes:
    """The content of a file."""
    return read_with(uri, lambda file: bytes(file.read()))


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file whole or not at all; a local one gets its folder, an object store needs none."""
    if not is_local(uri):
        patiently(uri, lambda: _uninterrupted(lambda: _upload(uri, content)))
        return
    target = Path(locate(uri)[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")  # `delete_unfinished` knows the form
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def delete_unfinished(uri: str) -> None:
    """Delete what `write_bytes` had begun in a folder when its process was killed; no other process may write there."""
    if is_local(uri):
        for path in Path(locate(uri)[1]).glob(".*"):
            if _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _upload(uri: str, content: bytes) -> None:
    # A stream that is dropped still closes, and an upload that is closed appears. So a small object is sent at closing,
    # when all of it is there; for a larger one opening begins an upload in parts, which no failure afterwards completes
    # (where the parts begin later, a failure to begin them leaves an empty object).
    system, path = locate(uri, in_one_request=len(content) <= _ONE_REQUEST_BYTES)
    stream = system.open_output_stream(path)
    stream.write(content)
    stream.close()


def _uninterrupted(action: Callable[[], None]) -> None:
    """Run ``action`` where no signal reaches it: Ctrl-C between opening and writing would leave an empty object."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(action).result()


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as a table."""

    def attempt() -> pa.Table:
        system, path = locate(uri)
        return pq.read_table(path, columns=columns, filesystem=system)

    return patiently(uri, attempt)


def write_table(uri: str, table: pa.Table) -> None:
    """Write a Parquet file whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_bytes(uri, sink.getvalue().to_pybytes())


def list_files(uri: str, *, recursive: bool = True) -> list[tuple[str, int, Any]]:
    """(URI, bytes, modification time) of every file below a folder, sorted by URI."""

    def attempt() -> tuple[str, list[pafs.FileInfo]]:
        system, path = locate(uri)
        return path, system.get_file_info(pafs.FileSelector(path, recursive=recursive))

    path, found = patiently(uri, attempt)
    prefix, base = absolute(uri).rstrip("/"), path.rstrip("/")
    files = (info for info in found if info.type == pafs.FileType.File)
    return sorted((join(prefix, info.path[len(base) + 1 :]), info.size, info.mtime_ns) for info in files)


def list_entries(uri: str) -> list[str]:
    """URIs of the files and folders in a folder, sorted; none where it is not there."""

    def attempt() -> list[str]:
        system, path = locate(uri)
        return [info.base_name for info in system.get_file_info(pafs.FileSelector(path, allow_not_found=True))]

    return [join(absolute(uri), name) for name in sorted(patiently(uri, attempt))]


def digest_file(uri: str) -> str:
    """SHA-256 of a file's content, in hex."""

    def digest(file: pa.NativeFile) -> str:
        found = hashlib.sha256()
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
        return found.hexdigest()

    return read_with(uri, digest)


def delete_file(uri: str) -> None:
    """Delete a file, if it is there."""

    def attempt() -> None:
        system, path = locate(uri)
        if system.get_file_info(path).type == pafs.FileType.File:
            with contextlib.suppress(FileNotFoundError):  # an attempt that was said to fail may have done it
                system.delete_file(path)

    patiently(uri, attempt)


def delete_folder(uri: str) -> None:
    """Delete a folder and what is in it, if it is there."""

    def attempt() -> None:
        system, path = locate(uri)
        if system.get_file_info(path).type == pafs.FileType.Directory:
            with contextlib.suppress(FileNotFoundError):
                system.delete_dir(path)

    patiently(uri, attempt)


def _info(uri: str) -> pafs.FileInfo:
    return patiently(uri, lambda: _info_once(uri))


def _info_once(uri: str) -> pafs.FileInfo:
    system, path = locate(uri)
    return system.get_file_info(path)
