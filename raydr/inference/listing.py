"""The photographs a user names: a folder, a glob, a file or a manifest."""

import re
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa

from raydr import storage
from raydr.data.manifest import check_uris
from raydr.data.sources import IMAGE_SUFFIXES
from raydr.errors import InputError

LISTING: Final = pa.schema([("image_id", pa.string()), ("uri", pa.string())])
_WILD: Final = re.compile(r"[*?\[]")
_TOKENS: Final = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", re.DOTALL)


def list_images(images: str) -> pa.Table:
    """The photographs of ``images`` as ``image_id`` and ``uri``, sorted by URI; a manifest's in its order.

    ``image_id`` is the file name, and so may occur twice, or the manifest's own.

    Args:
        images: A folder (all that lies below it and has the suffix of a picture), a glob (``*``, ``?``, ``[abc]``,
            ``**/`` for any folders), one file, or a manifest (``.parquet`` with ``image_id`` and ``uri``).

    Raises:
        InputError: Nothing is there, or the manifest is none.
    """
    if storage.is_folder(images):
        found = [uri for uri, _, _ in storage.list_files(images) if _is_picture(uri)]
        if not found:
            raise InputError(f"{images}: no photograph in it (looked for {', '.join(IMAGE_SUFFIXES)})")
    elif storage.exists(images):
        if images.endswith(".parquet"):
            return _read_manifest(images)
        found = [storage.absolute(images)]
    elif _WILD.search(images):
        found = _matching(images)
        if not found:
            raise InputError(f"{images}: no file matches")
    else:
        raise InputError(f"{images}: is not there; allowed: a folder, a glob, a file, a manifest (.parquet)")
    return pa.table({"image_id": [PurePosixPath(uri).name for uri in found], "uri": found}, schema=LISTING)


def _is_picture(uri: str) -> bool:
    return PurePosixPath(uri).suffix.lower() in IMAGE_SUFFIXES


def _read_manifest(uri: str) -> pa.Table:
    try:
        table = storage.read_table(uri)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{uri}: cannot be read as a manifest (Parquet): {storage.cause_of(error)}") from None
    for name in LISTING.names:
        if name not in table.column_names:
            raise InputError(f"{uri}: {name}: the column is missing; a manifest of photographs has image_id and uri")
    if not table.num_rows:
        raise InputError(f"{uri}: has no rows; at least one photograph is needed")
    listed = table.select(LISTING.names).cast(LISTING)
    check_uris(listed["uri"], uri)
    return listed


def _matching(pattern: str) -> list[str]:
    """Files that match, looked for below the last folder that the pattern spells out."""
    pattern = storage.absolute(pattern)
    folder = _WILD.split(pattern, maxsplit=1)[0].rpartition("/")[0] or "/"
    if not storage.is_folder(folder):
        return []
    try:
        expression = re.compile("".join(_as_expression(token) for token in _TOKENS.findall(pattern)))
    except re.error as error:
        raise InputError(f"{pattern}: is no glob: {error}") from None
    below = pattern.removeprefix(folder).lstrip("/")
    files = storage.list_files(folder, recursive="/" in below or "**" in below)
    return [uri for uri, _, _ in files if expression.fullmatch(uri)]


def _as_expression(token: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in known:
        return known[token]
    if token.startswith("[") and len(token) > 1:
        return token.replace("[!", "[^", 1)
    return re.escape(token)
