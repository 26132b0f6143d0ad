"""An evaluation in the terminal."""

from collections.abc import Sequence

from raydr.metrics.evaluation import DatasetEvaluation
from raydr.reporting.table import terminal_table


def evaluation_table(evaluations: Sequence[DatasetEvaluation]) -> str:
    """The main figures, a line a data set."""
    level = f"{evaluations[0].auc.level:.0%}" if evaluations else ""
    header = ["data set", f"AUC [{level} interval]", "images", "patients", "referable"]
    rows = [
        [
            found.name,
            str(found.auc),
            str(found.auc.num_images),
            str(found.auc.num_patients),
            str(found.auc.num_positive),
        ]
        for found in evaluations
    ]
    return terminal_table(rows, header)
