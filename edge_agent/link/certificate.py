"""What stands in a certificate's file: whose it is, and from when to when it holds.

For people who check a device. A connection is checked by the TLS library alone; nothing here
decides whom to trust. The library that reads certificates is large: it is loaded when a file is
read, and the running agent reads none.
"""

from pathlib import Path
from typing import Final

from msgspec import Struct

from edge_agent.errors import ConfigError

MAX_FILE_BYTES: Final = 4 * 2**20
"""The bundles of whole operating systems have a quarter of this."""


class Certificate(Struct, frozen=True, kw_only=True):
    """A certificate.

    Attributes:
        name: its subject's common name; the whole subject if it has none.
        not_before: seconds since 1970.
        not_after: seconds since 1970.
        fingerprint: sha256 of the whole, in hex.
    """

    name: str
    not_before: float
    not_after: float
    fingerprint: str


def read_certificates(path: Path) -> tuple[Certificate, ...]:
    """Every certificate in a PEM file, the first one first.

    Raises:
        ConfigError: it cannot be read, or has no certificate.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import NameOID

    data = _read(path)
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise _unusable(path, f"no certificate in PEM form: {error}") from error
    certificates = []
    for one in found:
        names = one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        certificates.append(
            Certificate(
                name=str(names[0].value) if names else one.subject.rfc4514_string(),
                not_before=one.not_valid_before_utc.timestamp(),
                not_after=one.not_valid_after_utc.timestamp(),
                fingerprint=one.fingerprint(SHA256()).hex(),
            )
        )
    return tuple(certificates)


def check_key(cert_file: Path, key_file: Path) -> None:
    """Check that a key belongs to a certificate.

    Args:
        cert_file: the certificate, its chain behind it.
        key_file: the key; the same file if it stands there, too.

    Raises:
        ConfigError: a file cannot be read, or the key is another one's, or needs a password.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    certificate, key = _read(cert_file), _read(key_file)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        wanted = x509.load_pem_x509_certificates(certificate)[0].public_key().public_bytes(*form)
        found = load_pem_private_key(key, password=None).public_key().public_bytes(*form)
    except TypeError as error:
        raise _unusable(key_file, "a key that needs a password: nobody could type it") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # Its text could quote the file, and this is a key.
        raise _unusable(key_file, "no key in PEM form that can be read") from error
    if wanted != found:
        raise ConfigError(
            f"key {key_file} is not the key of certificate {cert_file}",
            hint="name the two files that were made together as cert_file and key_file",
            code="key_mismatch",
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise _unusable(path, f"more than {MAX_FILE_BYTES} bytes")
    return data


def _unusable(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"{path} expected a PEM file that the agent can read, found {found}",
        hint="check ca_file, cert_file and key_file in agent.toml, and who may read them",
        code="certificate_unreadable",
    )
