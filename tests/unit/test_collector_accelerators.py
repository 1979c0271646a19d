"""The book of accelerators: ids by host and UUID, in whatever order messages name them."""

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.accelerators import AcceleratorBook, Found

HOST = 7
UUIDS = [UUID(int=number).bytes for number in range(1, 13)]


def found(uuid: bytes, host_id: int = HOST) -> Found:
    """Return an accelerator whose id and kind follow from its UUID: even ones are instances."""
    number = UUID(bytes=uuid).int
    return Found(host_id, uuid, 1000 * host_id + number, number % 2 == 0)


def ids_of(uuids: list[bytes]) -> list[int]:
    """Return the ids that `found` gives."""
    return [found(uuid).gpu_id for uuid in uuids]


@given(
    met_first=st.lists(st.sampled_from(UUIDS), unique=True),
    messages=st.lists(st.lists(st.sampled_from(UUIDS), unique=True), max_size=8),
)
def test_whatever_order_messages_name_them_in_each_accelerator_keeps_its_id(
    met_first: list[bytes], messages: list[list[bytes]]
) -> None:
    """As one that is lost and comes back, or an event before the first sample, makes the order."""
    book = AcceleratorBook()
    book.learn([found(uuid) for uuid in met_first])
    for named in messages:
        unknown = book.unknown(HOST, b"".join(named))
        assert set(unknown) <= set(named)
        book.learn([found(uuid) for uuid in unknown])
        book.learn([found(uuid) for uuid in named])  # twice is as once
        if not named:
            continue
        row = book.row(HOST, b"".join(named))
        assert row.uuids == b"".join(named)
        assert np.frombuffer(row.gpu_ids, np.int32).tolist() == ids_of(named)
        assert list(row.instances) == [found(uuid).is_instance for uuid in named]
        assert [book.gpu_id(HOST, uuid) for uuid in named] == ids_of(named)
    assert book.count == len({*met_first, *(uuid for named in messages for uuid in named)})


def test_the_same_uuid_on_two_hosts_is_two_accelerators() -> None:
    """A board that was moved, or an image that was cloned."""
    book = AcceleratorBook()
    book.learn([found(UUIDS[0], 1), found(UUIDS[0], 2)])
    assert [book.gpu_id(1, UUIDS[0]), book.gpu_id(2, UUIDS[0])] == [1001, 2001]
    assert book.count == 2


def test_an_inventory_makes_instances_of_those_it_names_and_of_no_others() -> None:
    """An accelerator that was cut into instances says so after it was met."""
    book = AcceleratorBook()
    odd = [uuid for uuid in UUIDS if not found(uuid).is_instance]
    book.learn([found(uuid) for uuid in odd])
    book.note_instances(HOST, {odd[1], UUIDS[1]})
    book.note_instances(HOST + 1, {odd[0]})  # of a host that nobody met
    assert list(book.row(HOST, b"".join(odd)).instances) == [0, 1, 0, 0, 0, 0]


def test_nothing_is_known_of_what_was_not_met_or_was_forgotten() -> None:
    """Or a row would be stored under another's id."""
    book = AcceleratorBook()
    book.learn([found(UUIDS[0])])
    with pytest.raises(KeyError):
        book.row(HOST, UUIDS[0] + UUIDS[1])
    book.forget()
    assert book.count == 0
    assert list(book.unknown(HOST, UUIDS[0])) == [UUIDS[0]]
