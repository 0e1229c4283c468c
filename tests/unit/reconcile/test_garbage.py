"""What must stay on a device: nothing that runs, ran, tries or is wanted is ever removed."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.state import DesiredState, WantedSlot
from edge_agent.reconcile.garbage import needed
from edge_agent.store.slots import Installed, SlotRecord

PLACES = ("target", "active", "previous", "candidate")


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def version(number: int) -> Installed:
    return Installed(module="m", version=number, digest=digest(number))


def files(number: int) -> tuple[str, ...]:
    return (digest(100 + number), digest(200))


versions = st.none() | st.integers(1, 9).map(version)


@st.composite
def records(draw: st.DrawFn, slot: str) -> SlotRecord:
    return SlotRecord(
        slot=slot,
        target=draw(versions),
        active=draw(versions),
        previous=draw(versions),
        candidate=draw(versions),
        blobs={digest(number): files(number) for number in draw(st.sets(st.integers(1, 9)))},
    )


@given(records("a"), records("b"), st.sets(st.integers(10, 15)), st.sets(st.integers(10, 15)))
def test_what_is_needed_stays_and_nothing_else(
    first: SlotRecord, second: SlotRecord, wanted: set[int], here: set[int]
) -> None:
    slots = {
        f"s{number}": WantedSlot(module="m", version=number, digest=digest(number))
        for number in wanted
    }
    desired = DesiredState(device="line-1", revision=1, slots=slots)

    def files_of(manifest: str) -> tuple[str, ...]:
        number = int(manifest.removeprefix("sha256:"), 16)
        return files(number) if number in here else ()

    kept = needed((first, second), desired, files_of)
    expected = set()
    for record in (first, second):
        for place in PLACES:
            found = getattr(record, place)
            if found is not None:
                expected |= {found.digest, *record.blobs.get(found.digest, ())}
    for number in wanted:
        expected |= {digest(number), *(files(number) if number in here else ())}
    assert kept == expected
    assert needed((second, first), desired, files_of) == kept


def test_what_nobody_wants_is_needed_while_it_is_installed() -> None:
    record = SlotRecord(slot="a", active=version(1), blobs={digest(1): files(1)})
    nothing = DesiredState(device="line-1", revision=1)
    assert needed((record,), nothing, lambda _manifest: ()) == {digest(1), *files(1)}
