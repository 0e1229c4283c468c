"""The web application: all controllers, errors, limits and the OpenAPI description."""

from typing import Final

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from cloud_sync.api.blobs import BlobController
from cloud_sync.api.configuration import ConfigController
from cloud_sync.api.crowd import Crowd, DownloadGate
from cloud_sync.api.deployments import DeploymentController
from cloud_sync.api.devices import DeviceController
from cloud_sync.api.endings import EndingController
from cloud_sync.api.groups import GroupController
from cloud_sync.api.labels import LabelController
from cloud_sync.api.models import ModelController
from cloud_sync.api.modules import ModuleController
from cloud_sync.api.parts import Parts, providers
from cloud_sync.api.problems import answer_fault, answer_http_error, answer_shoal_error
from cloud_sync.api.rollouts import RolloutController
from cloud_sync.api.telemetry import TelemetryController
from cloud_sync.errors import ShoalError

MAX_BODY_BYTES: Final = 8 * 2**20


def build(parts: Parts, version: str) -> Litestar:
    """The ASGI application.

    Args:
        parts: what it gives access to.
        version: of the program, for the description.
    """
    return Litestar(
        route_handlers=[
            BlobController,
            ModelController,
            ModuleController,
            EndingController,
            DeviceController,
            GroupController,
            ConfigController,
            DeploymentController,
            RolloutController,
            TelemetryController,
            LabelController,
        ],
        dependencies=providers(parts),
        middleware=[DefineMiddleware(DownloadGate, crowd=Crowd(parts.max_downloads))],
        exception_handlers={
            ShoalError: answer_shoal_error,
            HTTPException: answer_http_error,
            Exception: answer_fault,
        },
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=OpenAPIConfig(
            use_handler_docstrings=True,
            title="Shoal",
            version=version,
            description="Registry, fleet and telemetry of Shoal. Errors are `Problem` objects.",
            # One page and not a folder: a folder would answer every wrong path below it in HTML.
            path="/v1/openapi.json",
            render_plugins=[JsonRenderPlugin(path="/")],
        ),
        logging_config=None,
    )
