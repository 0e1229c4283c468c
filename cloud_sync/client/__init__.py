"""The Python SDK: everything that the service offers over HTTP, with typed answers.

Knows the contract, the resources and the errors, and nothing else of the project: it must run
wherever httpx and msgspec do, without the service's dependencies.
"""

from cloud_sync.client.progress import Progress, Transfer
from cloud_sync.client.shoal import ShoalClient

__all__ = ["Progress", "ShoalClient", "Transfer"]
