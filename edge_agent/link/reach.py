"""Asking the cloud's HTTP API whether it is there. For people; the agent itself just downloads."""

from typing import Final

from edge_agent.errors import Unavailable
from edge_agent.link.tls import tls_context, wrong_time

TIMEOUT_S: Final = 5.0


def reach_cloud(url: str, *, ca_file: str = "", cert_file: str = "", key_file: str = "") -> str:
    """Ask for the service's information.

    Args:
        url: of the HTTP API.
        ca_file: certificates to trust instead of the system's.
        cert_file: this device's certificate.
        key_file: its key.

    Returns:
        What answered, for people.

    Raises:
        Unavailable: nothing did, or something else than the service.
        ConfigError: a certificate file cannot be used.
    """
    import httpx

    context = tls_context(url, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
    try:
        with httpx.Client(timeout=TIMEOUT_S, verify=context, trust_env=False) as client:
            answer = client.get(f"{url.rstrip('/')}/v1/info")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise wrong_time(url, error) or Unavailable(
            f"{url} cannot be reached: {str(error) or type(error).__name__}",
            hint="check cloud.url, and that the service runs and can be reached",
            code="cloud_unreachable",
        ) from error
    if answer.status_code != 200:
        raise Unavailable(
            f"{url}/v1/info expected status 200, found {answer.status_code}",
            hint="check that cloud.url names a cloud-sync service",
            code="cloud_refused",
        )
    return f"status 200 in {answer.elapsed.total_seconds() * 1000:.0f} ms"
