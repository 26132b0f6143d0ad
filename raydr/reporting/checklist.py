"""The reporting checklists of a run: TRIPOD+AI and CLAIM, filled from what it knows, the blanks marked."""

from dataclasses import dataclass

from raydr import storage
from raydr.reporting.checklist_items import CLAIM, TRIPOD_AI, Checklist, Item
from raydr.reporting.facts import facts
from raydr.reporting.markdown import BLANK, known_or_blank, render_markdown
from raydr.reporting.report import Report


@dataclass(frozen=True, slots=True)
class Answer:
    """What a run has to say to an item."""

    item: Item
    known: str
    unknown: str
    """What is left to the authors; empty where nothing is."""


def render_checklist(report: Report) -> str:
    """Both checklists as Markdown; an item that the run knows nothing about is marked as a blank."""
    known = facts(report)
    lists = [(checklist, answers(checklist, known)) for checklist in (TRIPOD_AI, CLAIM)]
    return render_markdown("checklist.md.jinja", report=report, lists=lists, mark=BLANK, known_or_blank=known_or_blank)


def write_checklist(uri: str, report: Report) -> None:
    """Write the checklists to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_checklist(report).encode())


def answers(checklist: Checklist, known: dict[str, str]) -> dict[str, list[Answer]]:
    """The answers of a checklist by section."""
    return {title: [_answer(item, known) for item in items] for title, items in checklist.sections}


def _answer(item: Item, known: dict[str, str]) -> Answer:
    words = " ".join(known[name] for name in item.facts if name in known)
    left = item.unknown or ("" if words else item.asks[:1].lower() + item.asks[1:])
    return Answer(item, words, left)
