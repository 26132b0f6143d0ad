"""Files anywhere: local paths and object stores through pyarrow.fs; whole files or none."""

from raydr.storage.files import (
    bucket_exists,
    delete_file,
    delete_folder,
    delete_unfinished,
    digest_file,
    exists,
    file_versions,
    is_folder,
    list_entries,
    list_files,
    read_bytes,
    read_table,
    read_with,
    store_answers,
    write_bytes,
    write_table,
)
from raydr.storage.patience import DeniedError, MissingError, StoreError, UnavailableError, cause_of
from raydr.storage.systems import locate
from raydr.storage.uris import absolute, is_local, join

__all__ = [
    "DeniedError",
    "MissingError",
    "StoreError",
    "UnavailableError",
    "absolute",
    "bucket_exists",
    "cause_of",
    "delete_file",
    "delete_folder",
    "delete_unfinished",
    "digest_file",
    "exists",
    "file_versions",
    "is_folder",
    "is_local",
    "join",
    "list_entries",
    "list_files",
    "locate",
    "read_bytes",
    "read_table",
    "read_with",
    "store_answers",
    "write_bytes",
    "write_table",
]
