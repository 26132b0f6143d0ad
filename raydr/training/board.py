"""A board on the driver's node: trainers put up how they are doing, the driver what it wants of them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import ray
from ray.exceptions import GetTimeoutError, RayError

from raydr.data.nodes import start_here
from raydr.engine.wish import Wish

OnFigures = Callable[[Mapping[str, float]], None]
OnLine = Callable[[str], None]

_LISTEN_EVERY_S: Final = 0.5
_LOOK_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 10.0
"""For one answer of the board; it is asked again after that."""


class _Board:
    def __init__(self) -> None:
        self._figures: dict[str, float] | None = None
        self._lines: list[str] = []
        self._wish = int(Wish.GO_ON)

    def put_figures(self, figures: dict[str, float]) -> None:
        self._figures = figures

    def put_line(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> tuple[dict[str, float] | None, list[str]]:
        taken = self._figures, self._lines
        self._figures, self._lines = None, []
        return taken

    def ask_for(self, wish: int) -> None:
        self._wish = wish

    def wish(self) -> int:
        return self._wish


@dataclass(slots=True)
class Board:
    """What trainers and driver tell each other beside epochs and states; nobody waits for an answer.

    Losing it loses no more than the figures of the moment and the means to stop before the end.
    """

    name: str
    """Under which the other processes of the same job find it; it ends with the object that `start_board` returned."""
    _actor: Any = field(default=None, repr=False)
    _sent: Any = field(default=None, init=False, repr=False)

    def put_figures(self, figures: Mapping[str, float]) -> None:
        """Show figures in place of those before; let go while the last ones are still under way."""
        if self._sent is not None and not ray.wait([self._sent], timeout=0)[0]:
            return
        self._sent = self._handle().put_figures.remote(dict(figures))

    def put_line(self, line: str) -> None:
        """Show a line to whoever looks on, once."""
        self._handle().put_line.remote(line)

    def take(self) -> tuple[Mapping[str, float] | None, list[str]]:
        """Figures and lines that have come since the last time."""
        taken: tuple[Mapping[str, float] | None, list[str]] = ray.get(self._handle().take.remote(), timeout=_PATIENCE_S)
        return taken

    def ask_for(self, wish: Wish) -> None:
        """Put up what the driver wants."""
        self._handle().ask_for.remote(int(wish))

    def wish(self) -> Wish:
        """What the driver wants; waits for the answer."""
        return Wish(ray.get(self._handle().wish.remote(), timeout=_PATIENCE_S))

    def _handle(self) -> Any:
        if self._actor is None:
            self._actor = ray.get_actor(self.name)
        return self._actor


def start_board() -> Board:
    """A board on this process's node, which takes no CPU of the cluster."""
    return Board(*start_here(_Board, "raydr-board"))


class Listener:
    """Follows the driver's wish in a thread of a trainer, so that the training reads it without waiting."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.wish = Wish.GO_ON
        """The last one known."""
        threading.Thread(target=self._follow, name="raydr-listener", daemon=True).start()

    def _follow(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LISTEN_EVERY_S):
            try:
                self.wish = self._board.wish()
            except GetTimeoutError:
                continue
            except (RayError, ValueError):  # the board is gone, and with it the driver: Ray ends this worker too
                return


class BoardWatch:
    """Looks at a board about once a second, in a thread, and hands on what is new; for the last time at exit."""

    def __init__(self, board: Board, *, on_figures: OnFigures, on_line: OnLine) -> None:
        self._board, self._on_figures, self._on_line = board, on_figures, on_line
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="raydr-board-watch", daemon=True)

    def __enter__(self) -> "BoardWatch":
        """Start looking."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Look once more and stop; what is interrupted waits for nobody."""
        self._done.set()
        if kind is None or issubclass(kind, Exception):
            self._thread.join()
            self._look()

    def _follow(self) -> None:
        while not self._done.wait(_LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        try:
            figures, lines = self._board.take()
        except (RayError, ValueError):  # busy or gone: a training is not given up for want of its figures
            return
        for line in lines:
            self._on_line(line)
        if figures is not None:
            self._on_figures(figures)
