"""The page that every report is: one HTML file that loads nothing."""

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from raydr.reporting import wording


def render_page(template: str, *, script: str = "", **content: Any) -> str:
    """A template of this package filled in: style, pictures and figures are inside, whatever is text is escaped.

    Args:
        template: Its name.
        script: Name of a script of this package to put inside; the page's policy lets no other one run.
        content: What the template names.
    """
    environment = Environment(
        loader=PackageLoader("raydr", "reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = resources.files("raydr.reporting").joinpath(script).read_text(encoding="utf-8") if script else ""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return environment.get_template(template).render(
        wording=wording,
        script=Markup(text),  # noqa: S704  # a file of this package
        script_digest=digest if text else "",
        **content,
    )
