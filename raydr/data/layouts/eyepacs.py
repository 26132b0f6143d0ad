"""EyePACS, the Kaggle competition Diabetic Retinopathy Detection of 2015: 35,126 + 53,576 photographs, two a patient.

`trainLabels.csv` has `image,level`, the solution of the test part `image,level,Usage`; an image is called
`<patient>_left` or `<patient>_right`. Gradability is as Voets et al. graded it (doi:10.1371/journal.pone.0217541).
"""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final, Literal

from raydr.data.folders import read_folder
from raydr.data.labels import parse_flag, parse_grade, parse_image, read_csv
from raydr.data.layouts.layout import Label, Part, Published, Reading, check_number, check_published

TRAIN: Final = Published((25_810, 2_443, 5_292, 873, 708))
TEST: Final = Published((39_533, 3_762, 7_861, 1_214, 1_206))
NUM_USAGE: Final = {"Public": 10_906, "Private": 42_670}
NUM_GRADABLE: Final = 71_056
NUM_UNGRADABLE: Final = 17_646


@dataclass(frozen=True, slots=True)
class EyePacs:
    """The train part and, if named, the test part with its labels; without it the splits are dealt by patient."""

    images: str
    labels: str
    test_images: str | None = None
    test_labels: str | None = None
    test_usage: Literal["Public", "Private"] | None = None
    """Only images of this `Usage` keep their grade in the test part; None: all."""
    gradability: str | None = None
    """File `image_name gradability`, blank-separated, over both parts; an ungradable image keeps its grade."""
    splits: str | None = None
    allow_partial: bool = False

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""
        found = {
            "labels": self.labels,
            "images": self.images,
            "test_labels": self.test_labels,
            "test_images": self.test_images,
            "gradability": self.gradability,
            "splits": self.splits,
        }
        return {name: uri for name, uri in found.items() if uri is not None}

    def read(self) -> Reading:
        """The train part, in no split unless there is a test part, and the test part."""
        gradable = {} if self.gradability is None else self._gradability(self.gradability)
        has_test = self.test_images is not None and self.test_labels is not None
        parts = [self._part(self.images, self.labels, gradable, TRAIN, split="train" if has_test else None)]
        if self.test_images is not None and self.test_labels is not None:
            parts.append(self._part(self.test_images, self.test_labels, gradable, TEST, split="test"))
        return Reading(parts)

    def _part(
        self, images: str, labels: str, gradable: dict[str, bool | None], published: Published, *, split: str | None
    ) -> Part:
        found, usages = [], []
        only = self.test_usage if split == "test" else None
        for line, cells in read_csv(labels, ["image", "level", "Usage"] if only else ["image", "level"]):
            where = f"{labels}: line {line}"
            image = parse_image(cells["image"], f"{where}: image")
            grade = parse_grade(cells["level"], f"{where}: level")
            found.append(Label(line, image, grade=grade))
            usages.append(cells.get("Usage", ""))
        part = Part(
            read_folder(images),
            labels,
            [replace(label, gradable=gradable.get(PurePosixPath(label.image).name)) for label in found],
            {"image": "image", "grade": "level"},
            split=split,
            split_file=self.splits,
            patient_and_eye=patient_and_eye,
            has_unlabelled=True,
        )
        check_published([part], published, allow_partial=self.allow_partial)
        for usage, number in NUM_USAGE.items() if any(usages) else ():
            where = f"{labels}: Usage"
            check_number(where, usages.count(usage), number, f"{usage} images", allow_partial=self.allow_partial)
        if only is None:
            return part
        # The others stay in the test split without a grade: left out, they would be unlabelled images of any split.
        chosen = zip(part.labels, usages, strict=True)
        return replace(part, labels=[one if usage == only else replace(one, grade=None) for one, usage in chosen])

    def _gradability(self, uri: str) -> dict[str, bool | None]:
        found = {
            parse_image(cells["image_name"], f"{uri}: line {line}: image_name"): parse_flag(
                cells["gradability"], f"{uri}: line {line}: gradability"
            )
            for line, cells in read_csv(uri, ["image_name", "gradability"], delimiter=None)
        }
        flags = list(found.values())
        where = f"{uri}: gradability"
        check_number(where, flags.count(True), NUM_GRADABLE, "gradable images", allow_partial=self.allow_partial)
        check_number(where, flags.count(False), NUM_UNGRADABLE, "ungradable images", allow_partial=self.allow_partial)
        return found


def patient_and_eye(place: str) -> tuple[str | None, str | None]:
    """Patient and eye of ``<patient>_left`` or ``<patient>_right``, neither where it has another name."""
    patient, _, side = PurePosixPath(place).name.rpartition("_")
    return (patient, side) if patient and side in ("left", "right") else (None, None)
