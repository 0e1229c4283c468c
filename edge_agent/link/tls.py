"""The TLS context of every connection that leaves the device."""

import ssl

from edge_agent.errors import ConfigError


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
            context.load_cert_chain(cert_file, key_file or None)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (ca_file, cert_file, key_file)))
        raise ConfigError(
            f"certificates for {target} cannot be used: {error} ({files})",
            hint="check ca_file, cert_file and key_file in agent.toml",
            code="certificate_unreadable",
        ) from error
    return context
