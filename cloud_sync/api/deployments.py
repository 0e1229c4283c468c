"""`/v1/deployments` and `/v1/removals`: what devices should run."""

from litestar import Controller, post
from litestar.params import JSONBody

from cloud_sync.api.parts import GivenChange, GivenParts
from cloud_sync.resources import Deployment, DeploymentResult, Removal


class DeploymentController(Controller):
    """Changes of desired states; all devices of a target, or none."""

    path = "/v1"
    tags = ("deployments",)

    @post("/deployments", sync_to_thread=True)
    def deploy(
        self, parts: GivenParts, change: GivenChange, data: JSONBody[Deployment]
    ) -> DeploymentResult:
        """Put a module on a device, on devices with a tag, or on all."""
        return parts.deployments.deploy(data, change)

    @post("/removals", sync_to_thread=True)
    def remove(
        self, parts: GivenParts, change: GivenChange, data: JSONBody[Removal]
    ) -> DeploymentResult:
        """Take a slot off a device, off devices with a tag, or off all."""
        return parts.deployments.remove(data, change)
