"""Messidor-2: 1,748 photographs of 874 exams, two eyes each, under one of its two reference standards.

`images`: the adjudicated grades of each image by Krause et al. (doi:10.1016/j.ophtha.2018.01.034), published by Google
as `messidor_data.csv`; four images are ungradable and have no grade. `messidor-2.csv`, which comes with the
photographs, has the two images of an exam in each line, `left;right`; the exam stands for the patient, as nothing else
does.

`exams`: whether an exam is referable (rDR) by Abramoff et al. (doi:10.1001/jamaophthalmol.2013.1743), the standard of
arXiv 2208.02408. It has neither a grade nor an image, so its images enter the manifest without a grade, with their
`exam_id`; the exams themselves are a table of their own, `exams.parquet` of `index`, by which an exam's score (the
worse of its images) can be evaluated. An image belongs to the exam whose name its own begins with, `IM0001.000.jpg` to
`IM0001`, as in the distribution that this standard came with. The two standards name their images differently, and
their labels are not interchangeable: 457 images of 1,744 are of grade 2 or above, 380 of 1,748 are of referable exams.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

from raydr.data.folders import Folder, read_folder
from raydr.data.labels import parse_flag, parse_grade, parse_image, read_csv, read_lines
from raydr.data.layouts.layout import Label, Part, Published, Reading, check_number, check_published
from raydr.errors import InputError

PUBLISHED: Final = Published((1_017, 270, 347, 75, 35), ungraded=4)
NUM_DME: Final = 151
NUM_EXAMS: Final = 874
NUM_REFERABLE: Final = 190
_COLUMNS: Final = (("image_id", "adjudicated_dr_grade"), ("id_code", "diagnosis"))  # Google's names, and its mirrors'


@dataclass(frozen=True, slots=True)
class Messidor2:
    """The photographs with the grades of ``label_source``; only its files are read."""

    images: str
    labels: str
    pairs: str
    exams: str
    label_source: Literal["images", "exams"] = "images"
    allow_partial: bool = False

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""
        if self.label_source == "exams":
            return {"exams": self.exams, "images": self.images}
        return {"labels": self.labels, "pairs": self.pairs, "images": self.images}

    def read(self) -> Reading:
        """The dataset's only part."""
        folder = read_folder(self.images)
        return self._of_exams(folder) if self.label_source == "exams" else self._of_images(folder)

    def _of_images(self, folder: Folder) -> Reading:
        image, grade = self._named_columns()
        exams = self._pairs()
        labels = []
        for line, cells in read_csv(self.labels, [image, grade, "adjudicated_dme", "adjudicated_gradable"]):
            where = f"{self.labels}: line {line}"
            key = parse_image(cells[image], f"{where}: {image}")
            exam, eye = exams.get(key, (None, None))
            if exam is None and not self.allow_partial:
                raise InputError(f"{where}: {image}: {key!r} is in no pair of {self.pairs}")
            label = Label(
                line,
                key,
                grade=parse_grade(cells[grade], f"{where}: {grade}"),
                patient=exam,
                exam=exam,
                eye=eye,
                dme=parse_flag(cells["adjudicated_dme"], f"{where}: adjudicated_dme"),
                gradable=parse_flag(cells["adjudicated_gradable"], f"{where}: adjudicated_gradable"),
            )
            if label.gradable is False and label.grade is not None:
                raise InputError(f"{where}: {grade}: an ungradable image has no grade (got {label.grade})")
            labels.append(label)
        part = Part(folder, self.labels, labels, {"image": image, "grade": grade})
        check_published([part], PUBLISHED, allow_partial=self.allow_partial)
        num_dme = sum(label.dme is True for label in labels)
        where = f"{self.labels}: adjudicated_dme"
        check_number(where, num_dme, NUM_DME, "images with macular edema", allow_partial=self.allow_partial)
        return Reading([part])

    def _named_columns(self) -> tuple[str, str]:
        (_, header), *_ = read_lines(self.labels, "a CSV file with a header") or [(0, [])]
        return next((names for names in _COLUMNS if set(names) <= set(header)), _COLUMNS[0])

    def _pairs(self) -> dict[str, tuple[str, str]]:
        """Exam and eye of every image; an exam is called as its left image."""
        found: dict[str, tuple[str, str]] = {}
        lines = read_lines(self.pairs, "a file with lines `left;right`", delimiter=";")
        num_pairs = 0
        for line, cells in lines:
            where = f"{self.pairs}: line {line}"
            if [cell.lower() for cell in cells[:2]] == ["left", "right"]:
                continue
            if len(cells) < 2 or not all(cells[:2]) or any(cells[2:]):
                raise InputError(f"{where}: is no pair of images, left;right")
            left, right = (parse_image(cell, f"{where}: {eye}") for cell, eye in zip(cells, _EYES, strict=False))
            for eye, key in (("left", left), ("right", right)):
                if key in found:
                    raise InputError(f"{where}: {eye}: {key!r} is in an earlier pair already")
                found[key] = (left, eye)
            num_pairs += 1
        check_number(self.pairs, num_pairs, NUM_EXAMS, "pairs of images", allow_partial=self.allow_partial)
        return found

    def _of_exams(self, folder: Folder) -> Reading:
        images = defaultdict(list)
        for key in folder.images:
            images[PurePosixPath(key).name.partition(".")[0]].append(key)
        exams: dict[str, bool] = {}
        labels = []
        for line, cells in read_csv(self.exams, ["examid", "rDR"]):
            where = f"{self.exams}: line {line}"
            exam, referable = cells["examid"], parse_flag(cells["rDR"], f"{where}: rDR")
            if referable is None or not exam:
                raise InputError(f"{where}: examid and rDR must not be empty")
            if exams.setdefault(exam, referable) != referable:
                raise InputError(f"{where}: rDR: {exam!r} is {referable:d} here, but an earlier line says otherwise")
            # An exam without images is a label without its image, under the exam's name.
            labels += [Label(line, key, patient=exam, exam=exam) for key in images.get(exam, [exam])]
        where = f"{self.exams}: rDR"
        check_number(where, len(exams), NUM_EXAMS, "exams", allow_partial=self.allow_partial)
        num_referable = sum(exams.values())
        check_number(where, num_referable, NUM_REFERABLE, "referable exams", allow_partial=self.allow_partial)
        num_images = sum(len(images[exam]) for exam in exams if exam in images)
        where = f"{self.images}: images"
        check_number(where, num_images, PUBLISHED.total, "images of exams", allow_partial=self.allow_partial)
        return Reading([Part(folder, self.exams, labels, {"image": "examid", "grade": "rDR"})], exams)


_EYES: Final = ("left", "right")
