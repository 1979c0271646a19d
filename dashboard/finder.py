"""Search: from a few letters of a name, a UUID or a serial to the page that shows it.

Owns what is looked at and in which order: facilities and racks in memory, hosts and accelerators
in the database.
"""

from dashboard.sources import Sources
from dashboard.view import View

HITS_MAX = 12

# What it is, its name, where it is, the address of its page.
Hit = tuple[str, str, str, str]


async def find(words: str, sources: Sources) -> list[Hit]:
    """Return the best hits, places first.

    Raises:
        RetryableError: the database is away.
    """
    hits = _places(words.lower(), sources)
    if sources.trouble:
        return hits  # the database is known to be away: what is in memory, and at once
    # Not a pattern of the searcher's making: what LIKE would read as a wildcard is escaped.
    escaped = words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    values = {"anywhere": f"%{escaped}%", "start": f"{escaped}%", "limit": HITS_MAX}
    slugs = {f.facility_id: f.slug for f in sources.picture.facilities}
    for row in await sources.queries.rows("search", "hosts", values):
        address = View.of("/host", {"facility": slugs.get(row.facility_id, ""), "host": row.host})
        hits.append(("host", row.host, row.place, address.href()))
    for row in await sources.queries.rows("search", "accelerators", values):
        slug = slugs.get(row.facility_id, "")
        address = View.of("/host", {"facility": slug, "host": row.host, "gpu": str(row.index)})
        hits.append(("GPU", row.name, f"{row.host} · GPU {row.index}", address.href()))
    return hits[:HITS_MAX]


def _places(words: str, sources: Sources) -> list[Hit]:
    picture = sources.picture
    hits: list[Hit] = []
    for facility in picture.facilities:
        names = f"{facility.title} {facility.slug} {facility.row.provider or ''}".lower()
        address = View.of("/facility", {"facility": facility.slug})
        if words in names:
            hits.append(("facility", facility.title, facility.row.provider or "", address.href()))
        hits += [
            ("rack", rack.title, facility.title, address.href("/host", rack=rack.place[2]))
            for rack in picture.racks[facility.racks]
            if rack.place[2] and words in rack.place[2].lower()
        ][:HITS_MAX]
    return hits[:HITS_MAX]
