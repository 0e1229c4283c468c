"""Keeping secrets out of a bundle: known ones are taken out of every text, and so is what looks
like one.

Pure. Nothing leaves the device that did not come through here.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from edge_agent.config import Settings
from edge_agent.contract.user_info import HIDDEN, hide_user

_LEAST: Final = 3
"""A shorter secret would take every second word out of a log; it goes with its URL."""

_WORDS: Final = (
    r"(?:password|passwd|passphrase|passcode|(?<![a-zA-Z0-9])(?:pass|pwd|pw)|token|credential"
    r"|secret(?:[_-]?access)?[_-]?key|secret|(?:api|private)[_-]?key)s?"
)
_BRIEF: Final = r"\b(?:passwd|pwd|pw)"
_LONG: Final = r"\b(?:password|passphrase|passcode|secret|token)"
_OPTION: Final = rf"(?<![\w-])--(?:\w[\w-]{{0,40}}-)?{_WORDS}"
_PROSE: Final = (
    r"(?!(?:a|an|the|of|for|in|no|not|is|was|has|and|or|too|set|unset|given|wrong|missing|empty"
    r"|required|invalid|unknown|incorrect|expired|refused|accepted|read|hidden)\b(?![\w-]))"
)
"""Words that say something about a secret and are none."""

_VALUE: Final = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"'}\[{]+)"
_SECRET_NAME: Final = re.compile(f"(?i){_WORDS}$")

_PATTERNS: Final = (
    # What stands before the host in a URL: a user may as well be a token.
    (re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s\"'<>]+@"), rf"\1{HIDDEN}@"),
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*KEY-----|\Z)", re.DOTALL
        ),
        HIDDEN,
    ),
    (
        re.compile(rf"(?i)({_WORDS}(?:\s+(?:is|was))?\\*[\"']?\s*[=:]\s*\\*){_VALUE}"),
        rf'\1"{HIDDEN}"',
    ),
    # In words, and as an option of a program.
    (re.compile(rf"(?i)({_WORDS}\s+(?:is|was)\s+){_PROSE}{_VALUE}"), rf'\1"{HIDDEN}"'),
    (re.compile(rf"(?i)((?:{_BRIEF}|{_OPTION})\s+){_PROSE}{_VALUE}"), rf'\1"{HIDDEN}"'),
    (
        re.compile(rf"(?i)({_LONG}\s+)(?:\"[^\"]*\"|'[^']*'|(?=[^\s,;]*\d){_VALUE})"),
        rf'\1"{HIDDEN}"',
    ),
    (re.compile(rf"(\bmosquitto_\w+\s[^\n]{{0,400}}?(?<!\S)-P\s*){_VALUE}"), rf'\1"{HIDDEN}"'),
    (
        re.compile(
            r"(?<![\w-])((?:-u|--(?:proxy-)?user(?![\w-]))[\s=,\"']{0,8}?)"
            r"(?:\"[^\"\n]*:[^\"\n]*\"|'[^'\n]*:[^'\n]*'|[^\s:,\"']+:[^\s,\"']+)"
        ),
        rf'\1"{HIDDEN}"',
    ),
    # A JSON Web Token: its head is JSON, which begins with '{"'.
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"(?i)(\bauthorization\W{1,6}\w+\s+|\bbearer\s+)[\w+/=.~-]{8,}"), rf"\1{HIDDEN}"),
)


def secrets_of(settings: Settings, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Every secret that the settings or the environment name, the longest first.

    A user is one only where there is no password, and is not the device's name: it is a token then.

    Args:
        settings: of the device.
        environment: of this process; only the agent's own variables are looked at.
    """
    urls = [settings.cloud.url, settings.cloud.broker, settings.data.broker]
    urls += [value for name, value in environment.items() if name.startswith("EDGE_AGENT_")]
    found: set[str] = set()
    for url in urls:
        try:
            parts = urlsplit(url)
        except ValueError:
            continue
        secret = parts.password or parts.username or ""
        if secret != settings.agent.device:
            found.update((secret, unquote(secret)))
    kept = [secret for secret in found if len(secret) >= _LEAST]
    return tuple(sorted(kept, key=lambda secret: (-len(secret), secret)))


def scrub(text: str, secrets: tuple[str, ...]) -> str:
    """A text without secrets.

    Args:
        text: for people; what is in quotes stays in quotes.
        secrets: that are known.
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def scrub_value(value: Any, secrets: tuple[str, ...]) -> Any:  # Any: as JSON has it
    """A value of JSON without secrets: in any text of it, and under any name that means one.

    Args:
        value: of lists, mappings, texts, numbers and None.
        secrets: that are known.
    """
    match value:
        case str():
            return scrub(value, secrets)
        case list():
            return [scrub_value(one, secrets) for one in value]
        case dict():
            return {
                scrub(name, secrets): HIDDEN
                if isinstance(one, str) and one and _SECRET_NAME.search(name)
                else scrub_value(one, secrets)
                for name, one in value.items()
            }
        case _:
            return value


def shown_settings(settings: Settings) -> dict[str, Any]:  # Any: as JSON has it
    """The settings as they are in force, without who and what stands before a URL's host."""
    sections: dict[str, Any] = msgspec.to_builtins(settings)
    for section, key in (("cloud", "url"), ("cloud", "broker"), ("data", "broker")):
        sections[section][key] = hide_user(sections[section][key])
    return sections
