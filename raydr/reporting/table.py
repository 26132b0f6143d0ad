"""A plain table for the terminal."""

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"[-+]?\d|-$|$")


def terminal_table(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """Rows under their header, columns aligned with spaces; columns of numbers stand to the right.

    Whitespace inside a cell becomes one space, so that a row stays a line.
    """
    cells = [[" ".join(str(cell).split()) for cell in row] for row in (header, *rows)]
    if any(len(row) != len(header) for row in cells):
        raise ValueError(f"every row must have the {len(header)} cells of the header")
    columns = list(zip(*cells, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    is_number = [all(_NUMBER.match(cell) for cell in column[1:]) and len(column) > 1 for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in (cells[0], ["-" * width for width in widths], *cells[1:])
    ]
    return "\n".join(lines)
