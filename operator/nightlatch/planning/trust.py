"""Where callers find the CA: ConfigMap `nightlatch-ca` in the namespace of each endpoint and client of a cluster."""

from nightlatch.planning.inputs import CAView
from nightlatch.planning.plan import PublishTrust
from nightlatch.planning.settings import Settings


def publish_trust(settings: Settings, issuing_ca: CAView | None, namespace: str) -> tuple[PublishTrust, ...]:
    """Nothing before there is a CA; nothing on a laptop, where it lies beside each client's key."""
    if issuing_ca is None or settings.platform != "Cluster":
        return ()
    return (PublishTrust(namespace, issuing_ca.trust_pem),)
