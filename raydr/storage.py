"""Files anywhere: local paths and object stores through pyarrow.fs; whole files or none."""

import hashlib
import os
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq


def absolute(uri: str) -> str:
    """``uri`` as it is where it has a scheme, else as an absolute local path (workers have other folders)."""
    return uri if "://" in uri else str(Path(uri).expanduser().absolute())


def join(uri: str, *parts: str) -> str:
    """``uri`` with parts below it."""
    return "/".join([uri.rstrip("/"), *parts])


def locate(uri: str) -> tuple[pafs.FileSystem, str]:
    """The file system of ``uri`` and the path in it."""
    found: tuple[pafs.FileSystem, str] = pafs.FileSystem.from_uri(absolute(uri))
    return found


def is_local(uri: str) -> bool:
    """Whether ``uri`` is on this machine's file system."""
    return "://" not in uri or uri.startswith("file://")


def exists(uri: str) -> bool:
    """Whether a file or a folder is there."""
    system, path = locate(uri)
    return bool(system.get_file_info(path).type != pafs.FileType.NotFound)


def is_folder(uri: str) -> bool:
    """Whether ``uri`` is a folder."""
    system, path = locate(uri)
    return bool(system.get_file_info(path).type == pafs.FileType.Directory)


def read_bytes(uri: str) -> bytes:
    """The content of a file."""
    system, path = locate(uri)
    with system.open_input_file(path) as stream:
        content: bytes = stream.read()
    return content


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file whole or not at all, making its folder."""
    system, path = locate(uri)
    system.create_dir(path.rpartition("/")[0], recursive=True)
    if not isinstance(system, pafs.LocalFileSystem):
        with system.open_output_stream(path) as stream:  # an object appears when its upload is complete
            stream.write(content)
        return
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file as a table."""
    system, path = locate(uri)
    return pq.read_table(path, columns=columns, filesystem=system)


def write_table(uri: str, table: pa.Table) -> None:
    """Write a Parquet file whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_bytes(uri, sink.getvalue().to_pybytes())


def list_files(uri: str, *, recursive: bool = True) -> list[tuple[str, int, Any]]:
    """(URI, bytes, modification time) of every file below a folder, sorted by URI."""
    system, path = locate(uri)
    prefix = absolute(uri).rstrip("/")
    found = system.get_file_info(pafs.FileSelector(path, recursive=recursive))
    files = (info for info in found if info.type == pafs.FileType.File)
    base = path.rstrip("/")
    return sorted((join(prefix, info.path[len(base) + 1 :]), info.size, info.mtime_ns) for info in files)


def digest_file(uri: str) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    system, path = locate(uri)
    with system.open_input_stream(path) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def delete_file(uri: str) -> None:
    """Delete a file, if it is there."""
    system, path = locate(uri)
    if system.get_file_info(path).type == pafs.FileType.File:
        system.delete_file(path)


def delete_folder(uri: str) -> None:
    """Delete a folder and what is in it, if it is there."""
    system, path = locate(uri)
    if system.get_file_info(path).type == pafs.FileType.Directory:
        system.delete_dir(path)
