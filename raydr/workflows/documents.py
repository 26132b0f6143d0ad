"""What an evaluation or a run leaves to be read: its report, its model card and its reporting checklists."""

import importlib.metadata
import platform
from collections.abc import Callable

from raydr import __version__, storage
from raydr.config.jobs import Job
from raydr.reporting.checklist import write_checklist
from raydr.reporting.model_card import write_model_card
from raydr.reporting.report import Report, write_report

_LIBRARIES = ("ray", "torch", "torchvision", "timm", "mlflow", "numpy", "pyarrow")


def write_documents(path: Callable[[str], str], report: Report) -> dict[str, str]:
    """Write all three below a folder; URIs by name.

    Args:
        path: The URI of a name in the folder.
        report: What they tell.
    """
    files = {"report": path("report.html"), "model_card": path("model_card.md"), "checklist": path("checklist.md")}
    write_report(files["report"], report)
    write_model_card(files["model_card"], report)
    write_checklist(files["checklist"], report)
    return files


def title_of(settings: Job, verb: str) -> str:
    """The verb and its folder's name; that of the folder above for a stage within a run, whose own is the verb's."""
    *_, above, folder = ("", *storage.absolute(settings.out).rstrip("/").split("/"))
    return f"raydr {verb}: {above if folder == verb else folder}"


def software() -> dict[str, str]:
    """The versions of what computes."""
    return {
        "raydr": __version__,
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        "platform": platform.platform(),
    }
