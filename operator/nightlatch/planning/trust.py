"""Where callers find the CA: a ConfigMap in each namespace that has an endpoint or a client (in a cluster)."""

from nightlatch.planning.inputs import CAView
from nightlatch.planning.plan import PublishTrust
from nightlatch.planning.settings import Settings


def publish_trust(settings: Settings, issuing_ca: CAView | None, namespace: str) -> tuple[PublishTrust, ...]:
    """Nothing until there is a CA, and nothing on a laptop, where the Secret of each client has the CA."""
    if issuing_ca is None or settings.platform != "Cluster":
        return ()
    return (PublishTrust(namespace, issuing_ca.trust_pem),)
