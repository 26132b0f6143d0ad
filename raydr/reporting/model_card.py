"""The model card (arXiv:1810.03993): what a model is, what it is for, what it was tested on, and what is not known."""

from markupsafe import Markup

from raydr import storage
from raydr.reporting.facts import facts
from raydr.reporting.markdown import known_or_blank, render_markdown
from raydr.reporting.report import Report


def render_model_card(report: Report) -> str:
    """The card of the report's first model as Markdown; what the run does not know is marked as a blank."""
    name, known = next(iter(report.models), ""), facts(report)

    def say(fact: str, missing: str) -> Markup:
        return known_or_blank(known[fact], "") if fact in known else known_or_blank("", missing)

    return render_markdown(
        "model_card.md.jinja",
        report=report,
        model=name,
        evaluations=report.models.get(name, ()),
        known=known,
        say=say,
    )


def write_model_card(uri: str, report: Report) -> None:
    """Write the card to ``uri``, whole or not at all."""
    storage.write_bytes(uri, render_model_card(report).encode())
