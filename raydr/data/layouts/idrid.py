"""IDRiD, part B, Disease Grading (doi:10.3390/data3030025): 413 + 103 photographs, no patient known.

Names restart in the test part (`IDRiD_001` is in both), so an image's id has its part before the name. The label files
have blanks in their header and empty columns at its end.
"""

from dataclasses import dataclass
from typing import Final

from raydr import storage
from raydr.data.folders import read_folder
from raydr.data.labels import parse_grade, parse_image, read_csv
from raydr.data.layouts.layout import Label, Part, Published, Reading, check_published, nested, there
from raydr.errors import InputError

_IMAGE, _GRADE, _EDEMA = "Image name", "Retinopathy grade", "Risk of macular edema"
_FOLDERS: Final = {"train": "a. Training Set", "test": "b. Testing Set"}
_LABELS: Final = {
    "train": "a. IDRiD_Disease Grading_Training Labels.csv",
    "test": "b. IDRiD_Disease Grading_Testing Labels.csv",
}
PUBLISHED: Final = {"train": Published((134, 20, 136, 74, 49)), "test": Published((34, 5, 32, 19, 13))}


@dataclass(frozen=True, slots=True)
class Idrid:
    """Both parts below the folder that `B. Disease Grading.zip` unpacks to, or the folder around it."""

    root: str
    allow_partial: bool = False

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""
        labels = self._labels()
        folders = {f"{part}_images": self._images(part) for part in labels}
        return {f"{part}_labels": uri for part, uri in labels.items()} | folders

    def read(self) -> Reading:
        """The train part and the test part."""
        return Reading([self._part(name, uri) for name, uri in self._labels().items()])

    def _labels(self) -> dict[str, str]:
        folder = storage.join(nested(self.root, "B. Disease Grading"), "2. Groundtruths")
        files = {name: storage.join(folder, file) for name, file in _LABELS.items()}
        return there(files, allow_partial=self.allow_partial)

    def _images(self, name: str) -> str:
        return storage.join(nested(self.root, "B. Disease Grading"), "1. Original Images", _FOLDERS[name])

    def _part(self, name: str, uri: str) -> Part:
        labels = []
        for line, cells in read_csv(uri, [_IMAGE, _GRADE, _EDEMA]):
            where = f"{uri}: line {line}"
            label = Label(
                line,
                parse_image(cells[_IMAGE], f"{where}: {_IMAGE}"),
                grade=parse_grade(cells[_GRADE], f"{where}: {_GRADE}"),
                dme=_is_dme(cells[_EDEMA], f"{where}: {_EDEMA}"),
            )
            labels.append(label)
        folder = read_folder(self._images(name))
        part = Part(folder, uri, labels, {"image": _IMAGE, "grade": _GRADE}, name=name, split=name)
        check_published([part], PUBLISHED[name], allow_partial=self.allow_partial)
        return part


def _is_dme(text: str, where: str) -> bool | None:
    """Whether hard exudates lie within a disc diameter of the macula's centre: risk 2 of 0, 1 and 2."""
    if text not in ("", "0", "1", "2"):
        raise InputError(f"{where}: {text!r} is no risk of macular edema; allowed: 0, 1, 2 or empty")
    return None if text == "" else text == "2"
