"""Where callers find the CA: ConfigMap `nightlatch-ca` in the namespace of each endpoint and client of a cluster."""

from nightlatch.planning.actions import PublishTrust
from nightlatch.planning.observed import AuthorityView
from nightlatch.planning.settings import Settings


def publish_trust(settings: Settings, authority: AuthorityView | None, namespace: str) -> tuple[PublishTrust, ...]:
    """Nothing before there is a CA; nothing on a laptop, where it lies beside each client's key."""
    if authority is None or settings.platform != "Cluster":
        return ()
    return (PublishTrust(namespace, authority.trust_pem),)
