"""How far a training is and what of it is saved, as `raydr.engine.fit` saves it."""

from dataclasses import dataclass
from math import ceil

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Saving:
    """When a training saves, and for how long it stands still."""

    every_s: float
    """Of work between two states in the midst of an epoch; infinite: none."""
    save_s: float
    epoch_pause_s: float
    """At each epoch's end, beside the state that is saved there."""


@dataclass(slots=True)
class SavedWork:
    """The work of a training, which goes on in time and falls back to its newest state.

    A state is saved after ``saving.every_s`` of work since the last and at every epoch's end. It counts from its end
    on: what comes in its midst loses it.
    """

    images_per_epoch: int
    epochs: int
    saving: Saving
    epoch: int = 0
    """Epochs that have ended."""
    part: float = 0.0
    """Images of the epoch under way."""
    worked_s: float = 0.0
    """Of work, that which is lost later included."""
    saving_s: float = 0.0
    _saved: tuple[int, float] = (0, 0.0)
    _since_s: float = 0.0
    _pause_s: float | None = None

    @property
    def images(self) -> float:
        """Trained on, and not lost."""
        return self.epoch * self.images_per_epoch + self.part

    @property
    def is_over(self) -> bool:
        """Whether the last state is saved."""
        return self._saved[0] == self.epochs

    def advance(self, limit_s: float, image_s: float) -> float:
        """Go on for ``limit_s`` at ``image_s`` an image; returns the seconds it took, fewer where it is over sooner."""
        spent, left = 0.0, limit_s  # counted down as well: what is left ends at 0, however small against what is spent
        while left > 0 and not self.is_over:
            if self._pause_s is not None:
                used = self._pause(left)
            elif self.part or self._since_s or not (used := self._whole_epochs(left, image_s)):
                used = self._work(left, image_s)
            spent += used
            left -= used
        return min(spent, limit_s)

    def save(self) -> None:
        """Save now, unless that is under way."""
        if self._pause_s is None:
            self._pause_s = self.saving.save_s

    def fall_back(self) -> float:
        """Go back to the newest state; returns the images that were lost."""
        before = self.images
        self.epoch, self.part = self._saved
        self._since_s, self._pause_s = 0.0, None
        return before - self.images

    def _pause(self, left: float) -> float:
        pause_s = self._pause_s or 0.0
        spent = min(left, pause_s)
        self.saving_s += spent
        self._pause_s = pause_s - spent
        if self._pause_s <= _ROUNDING:
            self._saved, self._since_s, self._pause_s = (self.epoch, self.part), 0.0, None
        return spent

    def _work(self, left: float, image_s: float) -> float:
        to_end = (self.images_per_epoch - self.part) * image_s
        to_save = self.saving.every_s - self._since_s
        spent = max(0.0, min(left, to_end, to_save))
        self.worked_s += spent
        self._since_s += spent
        if spent >= to_end:
            self.epoch, self.part = self.epoch + 1, 0.0
            self._pause_s = self.saving.save_s + self.saving.epoch_pause_s
        else:
            self.part += spent / image_s
            if spent >= to_save:
                self.save()
        return spent

    def _whole_epochs(self, left: float, image_s: float) -> float:
        """Take all epochs at once that end before ``left`` is over; returns the seconds."""
        work_s = self.images_per_epoch * image_s
        pause_s = max(1, ceil(work_s / self.saving.every_s)) * self.saving.save_s + self.saving.epoch_pause_s
        count = int(min(left / (work_s + pause_s), self.epochs - self.epoch))
        if count:
            self.epoch += count
            self._saved = (self.epoch, 0.0)
        self.worked_s += count * work_s
        self.saving_s += count * pause_s
        return count * (work_s + pause_s)
