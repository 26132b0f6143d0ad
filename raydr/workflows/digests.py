"""What a stage's settings and inputs are, in a digest: equal digests need no second run."""

import hashlib
import json
from typing import Any

import pyarrow as pa

from raydr import storage
from raydr.data.parts import MANIFEST
from raydr.errors import InputError

_SITE = ("out", "cluster", "tracking")  # where and how a stage runs does not change what comes out


def digest_of_settings(settings: Any) -> str:
    """SHA-256 of a settings section, without what belongs to the site."""
    return digest_of_tree({key: value for key, value in settings.model_dump(mode="json").items() if key not in _SITE})


def digest_of_tree(tree: Any) -> str:
    """SHA-256 of what JSON can hold, whatever the order of keys."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def digest_of_input(name: str, uri: str) -> str:
    """SHA-256 of a file, of what describes a model or shards (and holds their files' digests), or of a folder's list.

    Raises:
        InputError: There is nothing at ``uri``, or it cannot be read.
    """
    try:
        return _digest(name, uri)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{uri}: {name}: cannot be read: {storage.cause_of(error)}") from None


def _digest(name: str, uri: str) -> str:
    if not storage.exists(uri):
        more = "" if storage.bucket_exists(uri) else "; there is no such bucket"
        raise InputError(f"{uri}: {name}: does not exist{more}")
    if not storage.is_folder(uri):
        return storage.digest_file(uri)
    from raydr.engine.package import DESCRIPTION  # torch, which files alone do not need

    description = storage.join(uri, MANIFEST if name == "shards" else DESCRIPTION)
    is_ours = "." not in name  # a dataset's folder, `NAME.images`, may hold a file of that name
    if is_ours and storage.exists(description):
        return storage.digest_file(description)
    prefix = storage.absolute(uri).rstrip("/") + "/"
    lines = [f"{found.removeprefix(prefix)} {size}" for found, size, _ in storage.list_files(uri)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
