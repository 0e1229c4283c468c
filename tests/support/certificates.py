"""Certificates for servers on loopback. Needs openssl."""

import ssl
import subprocess
from pathlib import Path


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself; its key is `key.pem` beside it."""
    file = folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(file)),
        ],
        check=True,
        capture_output=True,
    )
    return file


def server_context(certificate: Path) -> ssl.SSLContext:
    """What a server shows it with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context
