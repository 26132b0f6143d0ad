"""DDR, part DR_grading (doi:10.1016/j.ins.2019.06.011): 13,673 photographs, 1,151 of them ungradable, no patient known.

`train.txt`, `valid.txt` and `test.txt` have lines `007-0004-000.jpg 0`; the photographs are in the folder of the same
name beside each. Grade 5 says that an image is ungradable: it has no grade in the manifest.

The parts may share patients, as the makers publish no patient of an image; no split of it can be promised to be by
patient.
"""

from dataclasses import dataclass
from typing import Final

from raydr import storage
from raydr.data.folders import read_folder
from raydr.data.labels import parse_grade, parse_image, read_lines
from raydr.data.layouts.layout import Label, Part, Published, Reading, check_published, nested, there
from raydr.errors import InputError

_SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}
_UNGRADABLE: Final = "5"
PUBLISHED: Final = Published((6_266, 630, 4_477, 236, 913), ungraded=1_151)
"""Of all three parts together."""


@dataclass(frozen=True, slots=True)
class Ddr:
    """The three parts below the folder that `DDR-dataset.zip` unpacks to, or the folder around it."""

    root: str
    allow_partial: bool = False

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""
        labels = self._labels()
        return {f"{part}_labels": uri for part, uri in labels.items()} | {
            f"{part}_images": uri.removesuffix(".txt") for part, uri in labels.items()
        }

    def read(self) -> Reading:
        """The parts for training, validation and test."""
        parts = [self._part(name, uri) for name, uri in self._labels().items()]
        check_published(parts, PUBLISHED, allow_partial=self.allow_partial)
        return Reading(parts)

    def _labels(self) -> dict[str, str]:
        folder = nested(self.root, "DDR-dataset", "DR_grading")
        files = {name: storage.join(folder, f"{name}.txt") for name in _SPLITS}
        return there(files, allow_partial=self.allow_partial)

    def _part(self, name: str, uri: str) -> Part:
        labels = []
        for line, cells in read_lines(uri, "a text file with lines `image grade`", delimiter=None):
            where = f"{uri}: line {line}"
            if len(cells) != 2:
                raise InputError(f"{where}: has {len(cells)} cells; a line is an image and its grade, a blank between")
            image = parse_image(cells[0], f"{where}: image")
            gradable = cells[1] != _UNGRADABLE
            grade = parse_grade(cells[1], f"{where}: grade") if gradable else None
            labels.append(Label(line, image, grade=grade, gradable=gradable))
        folder = read_folder(uri.removesuffix(".txt"))
        columns = {"image": "image", "grade": "grade"}
        return Part(folder, uri, labels, columns, name=name, split=_SPLITS[name])
