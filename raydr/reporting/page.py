"""The page that every report is: one HTML file that loads nothing."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from raydr.reporting import wording


def render_page(template: str, **content: Any) -> str:
    """A template of this package filled in: style, pictures and figures are inside, whatever is text is escaped."""
    environment = Environment(
        loader=PackageLoader("raydr", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(wording=wording, **content)
