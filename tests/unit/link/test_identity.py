"""Two agents with one name: both come to the same answer."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract.messages import Status
from edge_agent.link.identity import Verdict, judge


def status(boot_id: str, started: float, state: str = "online", *, synced: bool = True) -> Status:
    return Status(
        device="d", state=state, boot_id=boot_id, started=started, time=0.0, clock_synced=synced
    )


def look(found: Status, *, has_published: bool = True, own: frozenset[str] = frozenset()):
    return judge(
        found,
        boot_id="me",
        started=100.0,
        is_synced=True,
        own_boots=own,
        has_published=has_published,
    )


def test_one_that_woke_up_in_1970_was_not_there_first():
    assert look(status("other", 5.0, synced=False)) is Verdict.DOUBLE_YIELDS


def test_an_echo_is_ours():
    assert look(status("me", 100.0)) is Verdict.OURS
    assert look(status("before", 5.0), own=frozenset({"before"})) is Verdict.OURS


def test_a_strange_status_before_our_own_proves_nothing():
    assert look(status("other", 5.0), has_published=False) is Verdict.STRANGE


def test_after_our_own_the_later_one_steps_back():
    assert look(status("other", 5.0)) is Verdict.WE_YIELD
    assert look(status("other", 500.0)) is Verdict.DOUBLE_YIELDS
    # A last will is as good a proof: somebody wrote it after us.
    assert look(status("other", 5.0, "offline")) is Verdict.WE_YIELD


@given(
    st.tuples(st.floats(0, 1e10), st.text(max_size=4), st.booleans()),
    st.tuples(st.floats(0, 1e10), st.text(max_size=4), st.booleans()),
)
def test_exactly_one_of_two_steps_back(one, two):
    if one[1] == two[1]:
        return

    def view(mine, other):
        return judge(
            status(other[1], other[0], synced=other[2]),
            boot_id=mine[1],
            started=mine[0],
            is_synced=mine[2],
            own_boots=frozenset(),
            has_published=True,
        )

    assert {view(one, two), view(two, one)} == {Verdict.WE_YIELD, Verdict.DOUBLE_YIELDS}
