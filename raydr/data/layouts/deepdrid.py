"""DeepDRiD, regular fundus images (doi:10.1016/j.patter.2022.100512): 1,600 + 400 photographs, four a patient.

The label files of training and validation have a row an image: its path, with backslashes and without the folder
`Images`, and its grade in the column of its eye. The eye is that of the column that is filled, not that of the name:
patient 56 has a left eye called `56_r3`. The evaluation part's grades are an Excel workbook.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from raydr import storage
from raydr.data.folders import read_folder
from raydr.data.labels import parse_flag, parse_grade, parse_image, read_csv, read_sheet
from raydr.data.layouts.layout import Label, Part, Published, Reading, check_published, nested, there
from raydr.errors import InputError

_EYES: Final = {"left": "left_eye_DR_Level", "right": "right_eye_DR_Level"}
_SPLITS: Final = {"training": "train", "validation": "val", "evaluation": "test"}
_FILES: Final = {
    "training": "regular-fundus-training/regular-fundus-training.csv",
    "validation": "regular-fundus-validation/regular-fundus-validation.csv",
    "evaluation": "Online-Challenge1&2-Evaluation/Challenge1_labels.xlsx",
}
TRAINING_AND_VALIDATION: Final = Published((714, 186, 326, 282, 92))
EVALUATION: Final = Published((200, 36, 72, 72, 20))


@dataclass(frozen=True, slots=True)
class DeepDrid:
    """The three parts below `regular_fundus_images`, or below the folder around it.

    `gradable` is the makers' overall quality: good enough for a diagnosis or not; the others are graded all the same.
    """

    root: str
    allow_partial: bool = False

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""
        labels = self._labels()
        return {f"{part}_labels": uri for part, uri in labels.items()} | {
            f"{part}_images": _images(uri) for part, uri in labels.items()
        }

    def read(self) -> Reading:
        """The parts for training, validation and evaluation, which is the test split."""
        parts = [self._part(name, uri) for name, uri in self._labels().items()]
        developed = [part for part in parts if part.split != "test"]
        if developed:
            check_published(developed, TRAINING_AND_VALIDATION, allow_partial=self.allow_partial)
        evaluated = [part for part in parts if part.split == "test"]
        if evaluated:
            check_published(evaluated, EVALUATION, allow_partial=self.allow_partial)
        return Reading(parts)

    def _labels(self) -> dict[str, str]:
        folder = nested(self.root, "regular_fundus_images")
        files = {name: storage.join(folder, file) for name, file in _FILES.items()}
        return there(files, allow_partial=self.allow_partial)

    def _part(self, name: str, uri: str) -> Part:
        labels = _evaluation_labels(uri) if name == "evaluation" else _eye_labels(uri)
        columns = {"image": "image_id", "grade": "DR_Levels" if name == "evaluation" else "/".join(_EYES.values())}
        return Part(read_folder(_images(uri)), uri, labels, columns, split=_SPLITS[name])


def _images(label_file: str) -> str:
    return storage.join(label_file.rpartition("/")[0], "Images")


def _eye_labels(uri: str) -> list[Label]:
    found = []
    for line, cells in read_csv(uri, ["patient_id", "image_path", "Overall quality", *_EYES.values()]):
        where = f"{uri}: line {line}"
        eye = _eye_of(cells, where)
        label = Label(
            line,
            _path_below_images(cells["image_path"], f"{where}: image_path"),
            grade=parse_grade(cells[_EYES[eye]], f"{where}: {_EYES[eye]}"),
            patient=cells["patient_id"],
            eye=eye,
            gradable=parse_flag(cells["Overall quality"], f"{where}: Overall quality"),
        )
        found.append(label)
    return found


def _evaluation_labels(uri: str) -> list[Label]:
    """Labels of images called `347_l1`; the patient is what stands before the underscore."""
    found = []
    for line, cells in read_sheet(uri, ["image_id", "DR_Levels"]):
        where = f"{uri}: line {line}"
        image = parse_image(cells["image_id"], f"{where}: image_id")
        patient, _, view = image.rpartition("_")
        if not patient:
            raise InputError(f"{where}: image_id: {image!r} is not named <patient>_<eye and view>, such as 347_l1")
        eye = {"l": "left", "r": "right"}.get(view[:1])
        grade = parse_grade(cells["DR_Levels"], f"{where}: DR_Levels")
        found.append(Label(line, image, grade=grade, patient=patient, eye=eye))
    return found


def _eye_of(cells: Mapping[str, str], where: str) -> str:
    filled = [eye for eye, column in _EYES.items() if cells[column]]
    if len(filled) != 1:
        raise InputError(f"{where}: {'/'.join(_EYES.values())}: exactly one of them must have the image's grade")
    return filled[0]


def _path_below_images(text: str, where: str) -> str:
    r"""`1/1_l1` of `\\regular-fundus-training\\1\\1_l1.jpg`: the patient's folder and the image's name."""
    path = PurePosixPath(parse_image(text.lstrip("\\/"), where))
    return "/".join(path.parts[-2:])
