"""The two brokers of a device, from its settings. Pure."""

from edge_agent.config import Settings
from edge_agent.link.broker import BrokerLink


def control_link(settings: Settings) -> BrokerLink:
    """The cloud's broker."""
    cloud = settings.cloud
    return BrokerLink(
        url=cloud.broker,
        ca_file=cloud.ca_file,
        cert_file=cloud.cert_file,
        key_file=cloud.key_file,
    )


def data_link(settings: Settings) -> BrokerLink:
    """The broker of the data topics: the cloud's, if the settings name no other."""
    if settings.shares_cloud_broker:
        return control_link(settings)
    data = settings.data
    return BrokerLink(
        url=data.broker, ca_file=data.ca_file, cert_file=data.cert_file, key_file=data.key_file
    )
