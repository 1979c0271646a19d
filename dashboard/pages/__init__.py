"""The pages, in the order of the navigation: address -> module.

A page is one Python file and one SQL file. Its module has
- `NAME`: the word in the navigation,
- `layout(view)`: its fixed parts, with an `elements.slot` for each live one,
- `async render(view, sources)`: slot -> properties, computed once a tick for all its viewers.
"""

PAGES = {
    "/": "dashboard.pages.fleet",
    "/map": "dashboard.pages.map",
    "/facility": "dashboard.pages.facility",
    "/host": "dashboard.pages.host",
    "/queues": "dashboard.pages.queues",
    "/health": "dashboard.pages.health",
    "/alerts": "dashboard.pages.alerts",
    "/pipeline": "dashboard.pages.pipeline",
    "/audit": "dashboard.pages.audit",
    "/wall": "dashboard.pages.wall",
}
# Reached by a button of the header, not by the navigation.
APART = ("/wall",)
