"""What every layout hands over: parts with their photographs and labels, checked against the published counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from raydr import storage
from raydr.data.folders import Folder
from raydr.errors import InputError


@dataclass(frozen=True, slots=True)
class Label:
    """What a label file says of one image; None where it says nothing."""

    line: int
    image: str
    """Path below the part's folder, or name alone, without an image's suffix."""
    grade: int | None = None
    patient: str | None = None
    exam: str | None = None
    eye: str | None = None
    dme: bool | None = None
    gradable: bool | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of photographs with what one label file says of them."""

    folder: Folder
    label_file: str
    labels: Sequence[Label]
    columns: Mapping[str, str]
    """The column of the label file behind `image`, `grade` and others, for messages."""
    name: str = ""
    """Stands before the path in image ids where names restart in another part."""
    split: str | None = None
    """The split that the dataset's makers gave to all of it."""
    split_file: str | None = None
    """CSV file `image,split` that says the split of every labelled image."""
    patient_and_eye: Callable[[str], tuple[str | None, str | None]] | None = None
    """Both from an image's path, where they are in its name."""
    has_unlabelled: bool = False
    """Whether images that no label names belong to the dataset too."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A dataset as its layout found it."""

    parts: Sequence[Part]
    exams: Mapping[str, bool] = field(default_factory=dict)
    """Whether an exam is referable, where the reference standard is of exams and not of images."""


class Layout(Protocol):
    """How to read one dataset; frozen, its fields are URIs."""

    def inputs(self) -> dict[str, str]:
        """URIs of the files and folders that are read, by name."""

    def read(self) -> Reading:
        """The dataset's parts; InputError where files are missing or malformed, or counts are not the published."""


@dataclass(frozen=True, slots=True)
class Published:
    """How many labels a dataset has by its makers' count."""

    grades: tuple[int, int, int, int, int]
    """Images of grades 0 to 4."""
    ungraded: int = 0
    """Images without a grade, as they cannot be graded."""

    @property
    def total(self) -> int:
        """All images."""
        return sum(self.grades) + self.ungraded

    def __str__(self) -> str:
        """Total and counts by grade, as messages have them."""
        without = f" and {self.ungraded} ungradable" if self.ungraded else ""
        return f"{self.total} labels {'/'.join(map(str, self.grades))}{without}"


REMEDY = "complete the download, or set allow_partial = true"


def check_published(parts: Sequence[Part], published: Published, *, allow_partial: bool) -> None:
    """Raise an InputError where the labels of ``parts`` together are not as many as ``published``, grade by grade.

    Every label must have its image elsewhere, so this counts the images too.
    """
    grades = [grade for part in parts for grade in {label.image: label.grade for label in part.labels}.values()]
    found = Published(tuple(grades.count(grade) for grade in range(5)), grades.count(None))  # type: ignore[arg-type]
    if found != published and not allow_partial:
        files = " + ".join(part.label_file for part in parts)
        raise InputError(f"{files}: {parts[0].columns['grade']}: expected {published}, found {found}; {REMEDY}")


def check_number(where: str, found: int, expected: int, what: str, *, allow_partial: bool) -> None:
    """Raise an InputError where a file has not the published number of something."""
    if found != expected and not allow_partial:
        raise InputError(f"{where}: expected {expected} {what}, found {found}; {REMEDY}")


def nested(root: str, *names: str) -> str:
    """The folder that archives unpack to: ``root`` with those of ``names``, one in the other, that are there."""
    found = storage.absolute(root)
    for name in names:
        below = storage.join(found, name)
        if storage.is_folder(below):
            found = below
    return found


def there(files: Mapping[str, str], *, allow_partial: bool) -> dict[str, str]:
    """``files`` by part, without those that are missing where that is allowed; InputError where none is left."""
    if not allow_partial:
        return dict(files)
    found = {part: uri for part, uri in files.items() if storage.exists(uri)}
    if not found:
        raise InputError(f"{next(iter(files.values()))}: no such file, nor any other part's; at least one is needed")
    return found
