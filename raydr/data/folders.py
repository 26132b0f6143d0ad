"""Folders of photographs: every image below one, by the name that a label may give it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pyarrow as pa

from raydr import storage
from raydr.data.labels import IMAGE_SUFFIXES, image_key
from raydr.errors import InputError


@dataclass(frozen=True, slots=True)
class Folder:
    """The images of a folder, found by their path in it or, where that is unambiguous, by their name alone."""

    uri: str
    images: Mapping[str, str]
    """URI by path below the folder, without suffix."""
    _paths_of_name: Mapping[str, list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        paths = defaultdict(list)
        for key in self.images:
            paths[PurePosixPath(key).name].append(key)
        object.__setattr__(self, "_paths_of_name", dict(paths))

    def place(self, key: str, where: str) -> str | None:
        """The path of the image that a label means, None where there is none."""
        if key in self.images:
            return key
        paths = self._paths_of_name.get(key, [])
        if len(paths) > 1:
            raise InputError(f"{where}: {key!r} stands in two folders ({paths[0]}, {paths[1]}); write the path")
        return paths[0] if paths else None


def read_folder(uri: str) -> Folder:
    """The images below ``uri``; InputError where there is none."""
    return Folder(uri, find_images(uri))


def find_images(folder: str) -> dict[str, str]:
    """URI of every image below ``folder`` by its path there, without suffix; InputError where there is none.

    Hidden files are left out (desktops leave ``._name.jpeg`` beside pictures), and so is what a link to a folder
    above itself shows again.
    """
    base = storage.absolute(folder).rstrip("/") + "/"
    found: dict[str, str] = {}
    looping: dict[PurePosixPath, bool] = {}
    for uri in _listed(folder):
        path = PurePosixPath(uri.removeprefix(base))
        if path.suffix.lower() not in IMAGE_SUFFIXES or any(part.startswith(".") for part in path.parts):
            continue
        if path.parent not in looping:
            looping[path.parent] = _goes_in_a_circle(base, path.parent)
        if looping[path.parent]:
            continue
        key = image_key(path)
        if key in found:
            raise InputError(f"{uri}: another file has the same name but for its suffix: {found[key]}")
        found[key] = uri
    if not found:
        raise InputError(f"{folder}: no photograph in it (looked for {', '.join(IMAGE_SUFFIXES)})")
    return found


def _listed(folder: str) -> list[str]:
    try:
        if not storage.is_folder(folder):
            raise InputError(f"{folder}: is no folder; `images` must be a folder of photographs")
        return [uri for uri, _, _ in storage.list_files(folder)]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{folder}: cannot be listed: {storage.cause_of(error)}") from None


def _goes_in_a_circle(base: str, folder: PurePosixPath) -> bool:
    if not storage.is_local(base):
        return False  # object stores have no links
    root = Path(base.removeprefix("file://"))
    steps = [root.joinpath(*folder.parts[:depth]).resolve() for depth in range(len(folder.parts) + 1)]
    return len(set(steps)) < len(steps)
