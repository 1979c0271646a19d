"""Slots as JSON: what the browser needs to put live parts on the page.

Owns the encoding. Content is written with Dash's components, but not handed to Dash's renderer:
that takes a whole part away and makes a new one whenever its children change, which at one change
a second loses the keyboard's focus, open menus and painted canvases. `assets/08-morph.js` changes
in place what is different. A figure goes to its `dcc.Graph` as it is.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from dash import dcc
from dash.development.base_component import Component

# The only properties whose HTML name is another one.
NAMES = {"className": "class", "colSpan": "colspan", "rowSpan": "rowspan", "htmlFor": "for"}


def encode(properties: Mapping[str, Any]) -> bytes:
    """Return the JSON of a slot.

    Raises:
        NotImplementedError: it holds something that is not plain HTML.
    """
    return msgspec.json.encode(properties, enc_hook=_encode_component)


def _encode_component(value: object) -> object:
    """Return {t: tag, a: attributes, c: children}."""
    if not isinstance(value, Component):
        raise NotImplementedError(f"{type(value).__name__} in a slot")
    described = value.to_plotly_json()  # type: ignore[no-untyped-call]
    if isinstance(value, dcc.Link):
        tag = "a"
    elif described["namespace"] == "dash_html_components":
        tag = described["type"].lower()
    else:
        raise NotImplementedError(f"{described['type']} in a slot; give it a place of its own")
    properties = described["props"]
    children = properties.pop("children", None)
    names = {NAMES.get(name, name): part for name, part in properties.items() if part is not None}
    return {"t": tag, "a": names, "c": children if isinstance(children, list) else [children]}
