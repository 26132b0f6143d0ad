"""Studies to draw: plausible figures of seven arms, and bare ones."""

import math
from datetime import UTC, datetime

import numpy as np

from raydr.metrics.label_efficiency import VALIDATION, StudyCell
from raydr.reporting.study_findings import Opening
from raydr.reporting.study_report import StudyReport

BUDGETS = {"47": 47, "95": 95, "236": 236, "473": 473, "all": 4016}
ARMS = {
    "scratch": (0.53, 0.080),
    "imagenet": (0.61, 0.112),
    "probe": (0.60, 0.080),
    "teacher": (0.64, 0.104),
    "paper": (0.67, 0.092),
    "default": (0.70, 0.080),
    "fixmatch": (0.63, 0.105),
}
SETS = {"eyepacs192": (0.0, 664, 332), "external192": (0.05, 589, 520), VALIDATION: (0.01, 710, 355)}


def study_cells(arms=None, *, draws=3, sets=None):
    generator = np.random.default_rng(7)
    cells = []
    luck = {budget: generator.normal(0, 0.016 * math.sqrt(95 / labels), draws) for budget, labels in BUDGETS.items()}
    for arm, (start, slope) in (arms or ARMS).items():
        for budget, labels in BUDGETS.items():
            of_draw = luck[budget] + generator.normal(0, 0.006, draws)
            for draw in range(1 if budget == "all" else draws):
                for dataset, (shift, images, patients) in (sets or SETS).items():
                    auc = start + shift + slope * math.log10(labels / 47) + of_draw[draw] + generator.normal(0, 0.005)
                    error = 0.022 - 0.003 * math.log10(labels / 47)
                    bounds = auc - 2 * error, auc + 2 * error
                    counts, seconds = (images, patients, images // 5), 40 + labels / 3
                    figures = auc, error, *bounds, *counts, seconds
                    cells.append(StudyCell(arm, budget, labels, draw, 0, dataset, *figures, difference_error=0.012))
    return cells


def study_report(name="scratch", *, cells=None):
    return StudyReport(
        title="Label efficiency",
        created=datetime(2026, 3, 4, 5, 6, tzinfo=UTC),
        cells=study_cells({name: ARMS["scratch"], **{arm: ARMS[arm] for arm in list(ARMS)[1:]}})
        if cells is None
        else cells,
        arms={
            name: "fine-tuned from random weights",
            "imagenet": "fine-tuned from ImageNet weights",
            "probe": "logistic regression on frozen ImageNet features",
            "teacher": "SimCLR, then fine-tuned",
            "paper": "teacher, then distilled with hard pseudo-labels",
            "default": "teacher, then distilled with the searched settings",
            "fixmatch": "FixMatch from ImageNet weights",
        },
        reference="imagenet",
        seconds={"pretrainings": 5400, "cells": 21300, "tests": 320},
        machine="2 cores, no GPU",
        study="9c1fa0b2c3d4e5f6",
        openings=[Opening(datetime(2026, 3, 4, 4, 50, tzinfo=UTC), "9c1fa0b2c3d4e5f6", 91, {"raydr": "0.1.0"})],
        data=[
            {"dataset": "eyepacs192", "split": split, "images": 4016, "patients": 2008}
            | {f"grade_{grade}": grade for grade in range(5)}
            for split in ("train", "val", "test")
        ],
        settings=f'out = "{name}"\n',
        digests={"manifest": "9c1f"},
    )
