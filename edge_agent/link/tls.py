"""The TLS context of every connection that leaves the device, and what wrong clocks make of it."""

import ssl
from typing import Final

from edge_agent.errors import ConfigError, Unavailable

_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
"""OpenSSL's numbers of what is wrong with a certificate."""

_MOST_CAUSES: Final = 10


def tls_context(target: str, *, ca_file: str, cert_file: str, key_file: str) -> ssl.SSLContext:
    """What to trust and what to show.

    Args:
        target: what is connected to, for errors.
        ca_file: certificates to trust instead of the system's; empty for the system's.
        cert_file: this device's certificate; empty for none.
        key_file: its key.

    Raises:
        ConfigError: a file cannot be read, or is no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        if cert_file:
            # An agent has nobody to ask: a key that needs a password is one that cannot be read.
            context.load_cert_chain(cert_file, key_file or None, password=bytes)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (ca_file, cert_file, key_file)))
        raise ConfigError(
            f"certificates for {target} cannot be used: {error} ({files})",
            hint="check ca_file, cert_file and key_file in agent.toml",
            code="certificate_unreadable",
        ) from error
    return context


def wrong_time(target: str, error: BaseException) -> Unavailable | None:
    """The error for a certificate that is not valid now; mostly the device's clock is wrong.

    Args:
        target: what was connected to.
        error: as it came; what caused it is looked through.

    Returns:
        It, or None if something else was wrong.
    """
    cause: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if cause is None:
            break
        if isinstance(cause, ssl.SSLCertVerificationError):
            if cause.verify_code == _NOT_YET_VALID:
                return Unavailable(
                    f"the certificate of {target} is not valid yet by this device's clock",
                    hint="set this device's clock, or run an NTP client; edge-agent check says "
                    "what it shows",
                    code="certificate_not_yet_valid",
                )
            if cause.verify_code == _EXPIRED:
                return Unavailable(
                    f"the certificate of {target} has expired by this device's clock",
                    hint="renew it, unless this device's clock is wrong: edge-agent check says "
                    "what it shows",
                    code="certificate_expired",
                )
        cause = cause.__cause__ or cause.__context__
    return None
