"""The check of the clock: is it synchronized, can it be right, was it set?"""

from edge_agent.daemon.check.finding import Finding
from edge_agent.daemon.clock_watch import shown
from edge_agent.store.clock import ClockState


def check_clock(state: ClockState, seen: ClockState | None) -> Finding:
    """Judge the clock.

    Args:
        state: as it is now.
        seen: as the running agent knows it; None without one.
    """
    steps = ""
    if seen is not None and seen.steps:
        steps = (
            f"; set {seen.steps} times since the agent started, the last time by "
            f"{seen.stepped_s:+.0f} s"
        )
    if state.is_behind:
        return Finding(
            name="clock",
            state="fail",
            text=f"it shows {shown(state.system)}, and it is at least {shown(state.floor)}{steps}",
            hint="set the clock or run an NTP client: until then TLS certificates look as if they "
            "were not valid yet",
        )
    if state.is_synced:
        text = f"synchronized; it shows {shown(state.system)}{steps}"
        return Finding(name="clock", state="ok", text=text)
    return Finding(
        name="clock",
        state="warn",
        text=f"not synchronized, as far as the kernel knows; it shows {shown(state.system)}{steps}",
        hint="run an NTP client (systemd-timesyncd, chrony): times of results depend on it",
    )
