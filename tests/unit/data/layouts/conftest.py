"""Datasets that a test builds itself, as they unpack but for their size."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from raydr.data.layouts.layout import Layout
from raydr.data.sources import Source, read_source
from raydr.errors import InputError

Tree = Callable[[Mapping[str, str | bytes]], Path]
RowsOf = Callable[..., dict[str, dict[str, Any]]]
ErrorOf = Callable[..., str]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Writes files by their path below a folder and gives the folder; an image's content is its path."""

    def write(files: Mapping[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else (content or name).encode())
        return tmp_path

    return write


@pytest.fixture
def rows_of() -> RowsOf:
    """The manifest rows of a layout by image id."""

    def read(layout: Layout, **options: bool) -> dict[str, dict[str, Any]]:
        rows = read_source(Source("data", layout, **options)).rows.to_pylist()
        assert len({row["uri"] for row in rows}) == len(rows)
        for row in rows:
            assert Path(row["uri"]).is_file()
        return {row["image_id"]: row for row in rows}

    return read


@pytest.fixture
def error_of() -> ErrorOf:
    """The one line that a layout's labels are refused with."""

    def read(layout: Layout, **options: bool) -> str:
        with pytest.raises(InputError) as caught:
            read_source(Source("data", layout, **options))
        message = str(caught.value)
        assert "\n" not in message
        return message

    return read
