"""A training's saved states in its Ray Train folder: written whole, found newest first, opened as local folders."""

import contextlib
import json
import logging
import posixpath
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.fs as pafs

from raydr.engine.context import SaveState

_LOG: Final = logging.getLogger(__name__)
_DESCRIPTION: Final = "state.json"
"""Written last: a folder without it is no state."""
_RAYS_LIST: Final = "checkpoint_manager_snapshot.json"
_WITHOUT_FOLDERS: Final = ("s3", "gcs")
_PATIENCE_S: Final = 120.0
"""How long writing a state is tried again; the training goes on meanwhile."""
_FIRST_PAUSE_S: Final = 1.0
NUM_RESUMABLE: Final = 4
"""States that a resumption tries at most; as many as are kept and two that were saved in a driver's last moments."""
STATE_PREFIXES: Final = ("epoch_", "step_")
"""How the names of states begin."""


@dataclass(frozen=True, slots=True)
class SavedStates:
    """The states below one training's folder.

    They are found by looking, not in Ray Train's list: a state counts as soon as it is whole, also when its driver died
    before it was listed, and it outlives a list that was torn in writing.
    """

    system: pafs.FileSystem
    folder: str

    def names(self) -> list[str]:
        """Newest first: by when each was finished and, as stores may know that to a second only, by how far it is."""
        return [name for name, _ in self._newest_first()]

    def describe(self, name: str) -> dict[str, Any]:
        """What a state says of itself: epochs_done, steps_done, history and more."""
        with self.system.open_input_file(self.path(name, _DESCRIPTION)) as file:
            description: dict[str, Any] = json.loads(file.read())
        return description

    def describe_newest(self) -> dict[str, Any] | None:
        """What the newest state says that can be read; None where there is none."""
        return next((state for _, state in self._newest_first() if state is not None), None)

    def _newest_first(self) -> list[tuple[str, dict[str, Any] | None]]:
        """Names and what each state says of itself, None where that cannot be read."""
        selector = pafs.FileSelector(self.folder, recursive=True, allow_not_found=True)
        found = []
        for info in self.system.get_file_info(selector):
            if info.base_name == _DESCRIPTION:
                name, state = posixpath.basename(posixpath.dirname(info.path)), None
                with contextlib.suppress(OSError, ValueError):
                    state = self.describe(name)
                found.append((info.mtime_ns or 0, _progress(state), name, state))
        return [(name, state) for _, _, name, state in sorted(found, key=lambda one: one[:3], reverse=True)]

    def path(self, *parts: str) -> str:
        """A path below the folder, on its file system."""
        return posixpath.join(self.folder, *parts)

    def write(self, name: str, save_state: SaveState) -> None:
        """Write a state, its description last; a file system that fails is tried again for two minutes.

        Raises:
            OSError: It still fails.
        """
        give_up, pause_s = time.monotonic() + _PATIENCE_S, _FIRST_PAUSE_S
        while True:
            try:
                self._write_once(name, save_state)
            except OSError as error:
                if time.monotonic() + pause_s > give_up:
                    raise
                _LOG.warning("%s: the state is not saved, trying again: %s", self.path(name), error)
                time.sleep(pause_s)
                pause_s *= 2
            else:
                return

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[Path]:
        """A state as a local folder."""
        if isinstance(self.system, pafs.LocalFileSystem):
            yield Path(self.path(name))
            return
        with tempfile.TemporaryDirectory(prefix="raydr-state-") as scratch:
            pafs.copy_files(self.path(name), scratch, source_filesystem=self.system)
            yield Path(scratch)

    def drop_leftovers(self, kept: int = NUM_RESUMABLE) -> None:
        """Delete all but the newest states and what never became one; for when no state is being written.

        Ray Train deletes what it has listed; an attempt that is killed leaves more, gigabytes where nodes come and go.
        """
        newest = self.names()[:kept]
        selector = pafs.FileSelector(self.folder, allow_not_found=True)
        for info in self.system.get_file_info(selector):
            is_ours = info.type == pafs.FileType.Directory and info.base_name.startswith(STATE_PREFIXES)
            if is_ours and info.base_name not in newest:
                self.system.delete_dir(info.path)

    def drop_torn_list(self) -> bool:
        """Delete Ray Train's own list where it is torn or names a state that is gone; returns whether it did.

        Ray Train refuses to start on such a list.
        """
        path = self.path(_RAYS_LIST)
        if self.system.get_file_info(path).type == pafs.FileType.NotFound:
            return False
        try:
            with self.system.open_input_file(path) as file:
                listed = [row["checkpoint_dir_name"] for row in json.loads(file.read())["checkpoint_results"]]
        except (ValueError, KeyError, TypeError):
            listed = None
        if listed is not None:
            paths = [self.path(name) for name in listed]
            if all(info.type != pafs.FileType.NotFound for info in self.system.get_file_info(paths)):
                return False
        self.system.delete_file(path)
        return True

    def _write_once(self, name: str, save_state: SaveState) -> None:
        if isinstance(self.system, pafs.LocalFileSystem):
            save_state(Path(self.path(name)))
            return
        with tempfile.TemporaryDirectory(prefix="raydr-state-") as scratch:
            save_state(Path(scratch))
            if self.system.type_name not in _WITHOUT_FOLDERS:
                self.system.create_dir(self.path(name))
            files = sorted(Path(scratch).iterdir(), key=lambda file: file.name == _DESCRIPTION)
            for file in files:
                pafs.copy_files(
                    str(file),
                    self.path(name, file.name),
                    source_filesystem=pafs.LocalFileSystem(),
                    destination_filesystem=self.system,
                )


def _progress(state: Mapping[str, Any] | None) -> tuple[int, int]:
    return (-1, -1) if state is None else (int(state["epochs_done"]), int(state.get("steps_done", 0)))
