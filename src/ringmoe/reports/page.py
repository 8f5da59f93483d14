"""A self-contained HTML page: no script, no request, everything inside one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringmoe.files import replacing


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        title: Its heading.
        text: A paragraph under the heading, HTML allowed.
        body: Pictures, charts and tables, as HTML from the template's macros or from charts.
        caption: A line under the body, HTML allowed.
    """

    title: str
    text: str = ""
    body: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: The heading.
        lead: A sentence or two under it.
        figures: (value, label) pairs shown large under the lead.
        sections: In order.
        hero: A picture across the top, as HTML.
        footer: What made it, where and when.
    """

    title: str
    lead: str
    figures: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()
    hero: str = ""
    footer: str = ""

    def write(self, path: Path) -> Path:
        """Write the page, whole or not at all.

        Raises:
            WriteError: The file cannot be written; an older one stands untouched.
        """
        html = render("page.html.j2", page=self)
        with replacing(path) as partial:
            partial.write_text(html, encoding="utf-8")
        return path


def render(template: str, **values: Any) -> str:
    """A template of this package filled with values."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ringmoe.reports"), autoescape=True, trim_blocks=True
    )
    return environment.get_template(template).render(**values)
