"""APTOS 2019 Blindness Detection (Kaggle): 3,662 labelled photographs, no patient known.

`train.csv` has `id_code,diagnosis`, the photographs are `train_images/<id_code>.png`. The test part has no labels and
is not read.
"""

from dataclasses import dataclass
from typing import Final

from raydr.data.folders import read_folder
from raydr.data.labels import parse_grade, parse_image, read_csv
from raydr.data.layouts.layout import Label, Part, Published, Reading, check_published

PUBLISHED: Final = Published((1_805, 370, 999, 193, 295))


@dataclass(frozen=True, slots=True)
class Aptos2019:
    """The train part of the competition; its splits are dealt image by image, as no patient is known."""

    images: str
    labels: str
    allow_partial: bool = False

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""
        return {"labels": self.labels, "images": self.images}

    def read(self) -> Reading:
        """The dataset's only part."""
        labels = []
        for line, cells in read_csv(self.labels, ["id_code", "diagnosis"]):
            where = f"{self.labels}: line {line}"
            image = parse_image(cells["id_code"], f"{where}: id_code")
            labels.append(Label(line, image, grade=parse_grade(cells["diagnosis"], f"{where}: diagnosis")))
        part = Part(read_folder(self.images), self.labels, labels, {"image": "id_code", "grade": "diagnosis"})
        check_published([part], PUBLISHED, allow_partial=self.allow_partial)
        return Reading([part])
