"""The certificates that the settings name, tried at the start: a bad one must not lie unseen.

A connection without TLS uses none, so nothing else would say it before the day on which a URL is
changed. Must never keep the agent from starting: without a network it works all the same.
"""

from collections.abc import Iterator

from edge_agent.config import Settings
from edge_agent.errors import ConfigError
from edge_agent.link.tls import tls_context


def unusable_files(settings: Settings) -> Iterator[ConfigError]:
    """What is wrong with the files of each section that names some."""
    for name, section in (("[cloud]", settings.cloud), ("[data]", settings.data)):
        if not (section.ca_file or section.cert_file):
            continue
        try:
            tls_context(
                name,
                ca_file=section.ca_file,
                cert_file=section.cert_file,
                key_file=section.key_file,
            )
        except ConfigError as error:
            yield error
