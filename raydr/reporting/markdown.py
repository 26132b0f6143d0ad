"""Markdown files: whatever is filled in stays text."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from raydr.reporting import wording

BLANK = "not known to raydr"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")


def render_markdown(template: str, **content: Any) -> str:
    """A Markdown template of this package filled in; whatever is no `Markup` is escaped and stays on its line."""
    environment = Environment(
        loader=PackageLoader("raydr", "reporting"),
        autoescape=False,  # noqa: S701  # it is no HTML: `finalize` escapes for Markdown
        finalize=lambda value: value if isinstance(value, Markup) else escaped(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(wording=wording, blank=blank, **content)


def escaped(text: str) -> str:
    """Text without any meaning in Markdown or HTML, in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("\\<", "&lt;").replace("\\&", "&amp;")


def blank(missing: str) -> Markup:
    """What is not known, marked as such."""
    return Markup(f"**{BLANK}:** {escaped(missing)}")  # noqa: S704  # escaped for Markdown


def known_or_blank(known: str, missing: str) -> Markup:
    """What is known, then what is not; either may be empty."""
    parts = [escaped(known)] * bool(known) + [blank(missing)] * bool(missing)
    return Markup(" ").join(Markup(part) for part in parts)  # noqa: S704  # escaped for Markdown
