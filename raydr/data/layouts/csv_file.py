"""Any dataset: one folder of photographs and one CSV file whose columns the user names."""

from dataclasses import dataclass

from raydr.data.folders import read_folder
from raydr.data.labels import cell_of, parse_eye, parse_grade, parse_image, parse_split, read_csv
from raydr.data.layouts.layout import Label, Part, Reading


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns of a label file."""

    image: str = "image"
    grade: str = "grade"
    patient: str | None = None
    eye: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A layout of the user's own; there is no published count to check."""

    images: str
    labels: str
    splits: str | None = None
    columns: Columns = Columns()

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""
        return {"labels": self.labels, "images": self.images} | ({"splits": self.splits} if self.splits else {})

    def read(self) -> Reading:
        """The dataset's only part."""
        columns = self.columns
        named = [columns.image, columns.grade, columns.patient, columns.eye, columns.split]
        labels = []
        for line, cells in read_csv(self.labels, [name for name in named if name]):
            where = f"{self.labels}: line {line}"
            split = cell_of(cells, columns.split)
            label = Label(
                line,
                parse_image(cells[columns.image], f"{where}: {columns.image}"),
                grade=parse_grade(cells[columns.grade], f"{where}: {columns.grade}"),
                patient=cell_of(cells, columns.patient) or None,
                eye=parse_eye(cell_of(cells, columns.eye)),
                split=parse_split(split, f"{where}: {columns.split}") if split else None,
            )
            labels.append(label)
        part = Part(
            read_folder(self.images),
            self.labels,
            labels,
            {
                "image": columns.image,
                "grade": columns.grade,
                "patient_id": columns.patient or "patient",
                "split": columns.split or "split",
            },
            split_file=self.splits,
            # Where patients are named, an image that no row names could be any patient's, of the test split too.
            has_unlabelled=columns.patient is None,
        )
        return Reading([part])
