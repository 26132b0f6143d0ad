"""What the leak audit found, in words."""

import textwrap

from raydr.data.audit import TABLE_HEADER, LeakAudit
from raydr.reporting.index_report import CHECKS
from raydr.reporting.table import terminal_table
from raydr.workflows.console import say

_PROGRESS_EVERY = 5000  # files


def say_progress(num_files: int) -> None:
    """A line now and then while the files are read."""
    if num_files % _PROGRESS_EVERY == 0:
        say(f"  audit: {num_files} files read")


def say_audit(audit: LeakAudit) -> None:
    """The findings as a table, and what could not be compared."""
    if audit.findings.num_rows:
        say(textwrap.indent(terminal_table(audit.table(), TABLE_HEADER), "  "))
    else:
        say("  audit: nothing is shared between splits")
    for note in _not_compared(audit):
        say(f"  audit: {note}")


def checks_made(audit: LeakAudit) -> list[str]:
    """The checks that the audit made, by the name of their findings."""
    return [name for name in CHECKS if name != "near_identical_images" or audit.num_without_picture is not None]


def _not_compared(audit: LeakAudit) -> list[str]:
    notes = []
    if audit.num_unreadable:
        notes.append(f"{audit.num_unreadable} files cannot be read and were not compared")
    if audit.num_without_picture is None:
        notes.append("near-identical images were not looked for (near_identical = false)")
    elif audit.num_without_picture:
        notes.append(f"{audit.num_without_picture} files show no picture; they were compared byte by byte alone")
    return notes
