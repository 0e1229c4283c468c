"""Checks of certificates: the device's own, those it trusts, and those that servers show.

Judging is pure; reading files is at the edges. A certificate that is not valid now may as well mean
that the clock is wrong, and that is said where the clock is not to be trusted.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.config import Settings
from edge_agent.daemon.check.finding import Finding
from edge_agent.daemon.clock_watch import shown
from edge_agent.errors import ConfigError
from edge_agent.link.certificate import Certificate, check_key, read_certificates
from edge_agent.store.clock import ClockState

SOON_S: Final = 30 * 86_400.0
"""A certificate that ends sooner is warned about."""

_DAY_S: Final = 86_400.0


def check_certificates(settings: Settings, clock: ClockState) -> Iterator[Finding]:
    """Look at every certificate that the settings name.

    Args:
        settings: of the device.
        clock: as it is now.
    """
    device = settings.agent.device
    cloud, data = settings.cloud, settings.data
    if not (cloud.cert_file or cloud.ca_file or data.cert_file or data.ca_file):
        text = "none is set: [cloud] ca_file, cert_file, key_file"
        yield Finding(name="certificate", state="ok", text=text)
    for name, section, wanted in (("", cloud, device), ("data ", data, "")):
        if section.cert_file:
            key_file = section.key_file or section.cert_file
            yield _own(f"{name}certificate", section.cert_file, key_file, wanted, clock)
        if section.ca_file:
            yield _trusted(f"{name}ca_file", section.ca_file, clock)


def judge(name: str, shows: str, not_before: float, not_after: float, clock: ClockState) -> Finding:
    """Judge from when to when a certificate holds.

    Args:
        name: of the finding.
        shows: what the certificate is, for people.
        not_before: seconds since 1970.
        not_after: seconds since 1970.
        clock: as it is now: what it shows is what TLS goes by.
    """
    now = clock.system
    doubt = ""
    if clock.is_behind or not clock.is_synced:
        known = f", and it is at least {shown(clock.floor)}" if clock.is_behind else ""
        doubt = f"; but the clock is not to be trusted: it shows {shown(now)}{known}"
    set_clock = "set the clock first (see the check of it); if it is right then, " if doubt else ""
    if now < not_before:
        return Finding(
            name=name,
            state="fail",
            text=f"{shows} is not valid before {shown(not_before)}{doubt}",
            hint=f"{set_clock}have it issued anew" if doubt else "have it issued anew",
        )
    if now > not_after:
        return Finding(
            name=name,
            state="fail",
            text=f"{shows} has expired on {shown(not_after)}{doubt}",
            hint=f"{set_clock}renew it",
        )
    left_s = not_after - now
    text = f"{shows}, valid until {shown(not_after)} ({left_s / _DAY_S:.0f} days)"
    if left_s < SOON_S:
        return Finding(
            name=name, state="warn", text=f"{text}{doubt}", hint=f"{set_clock}renew it soon"
        )
    return Finding(name=name, state="ok", text=text)


def _own(name: str, cert_file: str, key_file: str, device: str, clock: ClockState) -> Finding:
    try:
        own, *chain = read_certificates(Path(cert_file))
        check_key(Path(cert_file), Path(key_file))
    except ConfigError as error:
        return Finding(name=name, state="fail", text=error.text, hint=error.hint)
    if device and own.name != device:
        return Finding(
            name=name,
            state="fail",
            text=f"{cert_file} expected the common name {device!r} (agent.device), "
            f"found {own.name!r}",
            hint="set agent.device to the certificate's name, or have one issued for this device",
        )
    found = _worst([own, *chain], clock, name)
    if found.state == "ok" and _is_open(key_file):
        return Finding(
            name=name,
            state="warn",
            text=f"{found.text}; others than its owner may read {key_file}",
            hint=f"chmod 600 {key_file}",
        )
    return found


def _trusted(name: str, ca_file: str, clock: ClockState) -> Finding:
    """One of many may have expired: what counts is whether any is left."""
    try:
        certificates = read_certificates(Path(ca_file))
    except ConfigError as error:
        return Finding(name=name, state="fail", text=error.text, hint=error.hint)
    found = [_judged(one, clock, name) for one in certificates]
    usable = [one for one in found if one.state != "fail"]
    if len(found) == 1 or not usable:
        return found[0]
    longest = max(certificates, key=lambda one: one.not_after)
    expired = len(found) - len(usable)
    told = f"; {expired} of them not valid now" if expired else ""
    text = f"{len(found)} certificates, the last valid until {shown(longest.not_after)}{told}"
    return Finding(name=name, state=_judged(longest, clock, name).state, text=text)


def _worst(certificates: list[Certificate], clock: ClockState, name: str) -> Finding:
    """The finding of a chain: as weak as its weakest."""
    found = [_judged(one, clock, name) for one in certificates]
    for state in ("fail", "warn"):
        for one in found:
            if one.state == state:
                return one
    return found[0]


def _judged(one: Certificate, clock: ClockState, name: str) -> Finding:
    return judge(name, f"{one.name!r}", one.not_before, one.not_after, clock)


def _is_open(key_file: str) -> bool:
    """Whether others than its owner may read a key."""
    try:
        mode = Path(key_file).stat().st_mode
    except OSError:
        return False
    return bool(mode & (stat.S_IRWXG | stat.S_IRWXO))
