"""The first picture: a page's fixed parts as HTML in the document, before Dash's scripts run.

Owns the document's order. Scripts of ours come first: they fill the parts over the live line and
paint. Dash's, ten times as large, are started by `assets/70-start.js` once that is done; when Dash
has made its own page of the same parts, `assets/10-live.js` lets it take the place of the first.
"""

import re
from collections.abc import Callable
from html import escape
from typing import Any

from dash import Dash, dcc
from dash.development.base_component import Component

from dashboard.markup import NAMES
from dashboard.view import View

VOID_TAGS = frozenset({"br", "hr", "img", "input"})
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)


class Site(Dash):
    """Dash, with a document that shows its page at once.

    Attributes:
        first: returns title and content of what an address shows; None where that is no page.
        programs: what loads our own scripts and styles, in the head and at the body's end.
    """

    first: Callable[[View], tuple[str, Component] | None] = staticmethod(lambda _view: None)
    programs: tuple[str, str] = ("", "")

    def interpolate_index(self, **parts: Any) -> str:  # type: ignore[override]
        """Return the document, as Dash calls it while it answers a request."""
        request: Any = self.backend.request_adapter()
        view = View.of(request.path, dict(request.args))
        head, foot = self.programs
        parts["css"] += head
        shown = self.first(view)
        if shown is None:
            parts["scripts"] = foot + parts["scripts"]
            return self._document(parts)
        title, content = shown
        later = [*SCRIPT.findall(parts["scripts"]), parts["renderer"]]
        search = view.href().partition("?")[2]
        first = (
            f'<div id="first" data-path="{escape(view.path)}" data-search="{escape(search)}">'
            f"{html_of(content)}</div>"
        )
        template = f'<template id="later">{"".join(later)}</template>'
        parts |= {
            "title": escape(title),
            "app_entry": first + parts["app_entry"],
            "scripts": template + foot,
            "renderer": "",
        }
        return self._document(parts)

    def _document(self, parts: dict[str, Any]) -> str:
        # Dash's own definition carries no types.
        return str(super().interpolate_index(**parts))  # type: ignore[no-untyped-call]


def html_of(content: Any) -> str:
    """Return components as HTML; places of charts are empty, stores are left out."""
    if content is None or isinstance(content, bool):
        return ""
    if isinstance(content, list | tuple):
        return "".join(html_of(part) for part in content)
    if not isinstance(content, Component):
        return escape(str(content))
    described = content.to_plotly_json()  # type: ignore[no-untyped-call]
    properties = dict(described["props"])
    children = properties.pop("children", None)
    if isinstance(content, dcc.Store):
        return ""
    if isinstance(content, dcc.Graph):
        tag, properties = "div", {key: properties[key] for key in ("id", "className")}
    else:
        tag = "a" if isinstance(content, dcc.Link) else described["type"].lower()
    head = f"<{tag}{''.join(_attribute(key, value) for key, value in properties.items())}>"
    return head if tag in VOID_TAGS else f"{head}{html_of(children)}</{tag}>"


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    if name == "style":
        value = ";".join(f"{_dashed(key)}:{part}" for key, part in value.items())
    name = NAMES.get(name, name).lower()
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _dashed(name: str) -> str:
    """Return a property of a style as a style sheet writes it."""
    return re.sub("[A-Z]", lambda found: f"-{found.group().lower()}", name)
