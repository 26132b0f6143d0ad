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
    """The findings as a table."""
    if audit.findings.num_rows:
        say(textwrap.indent(terminal_table(audit.table(), TABLE_HEADER), "  "))
    else:
        say("  audit: nothing is shared between splits")


def checks_made(audit: LeakAudit) -> list[str]:
    """The checks that the audit made, by the name of their findings."""
    return [name for name in CHECKS if name != "near_identical_images" or audit.num_without_picture is not None]
