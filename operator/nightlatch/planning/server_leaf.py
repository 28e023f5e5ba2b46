"""The certificate that callers see: in the operator's namespace, copied into the route document."""

from datetime import timedelta

from nightlatch.api import names
from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import Tls
from nightlatch.api.meta import Key
from nightlatch.pki import LeafRequest
from nightlatch.planning.actions import Owner
from nightlatch.planning.leaves import WantedLeaf
from nightlatch.planning.settings import Settings, hosts


def server_leaf(settings: Settings, endpoint: Key, owner: Owner, tls: Tls) -> WantedLeaf:
    """The endpoint's own names, `spec.tls.duration` long. Its identity says whose front door it is."""
    request = LeafRequest(
        identity=names.endpoint_identity(settings.trust_domain, endpoint),
        usage="server",
        dns_names=hosts(settings, endpoint),
        duration=timedelta(seconds=parse_duration(tls.duration)),
    )
    key = Key(settings.operator_namespace, names.server_tls(endpoint))
    renew_before = timedelta(seconds=parse_duration(tls.renew_before))
    return WantedLeaf(key, names.ROLE_SERVER_TLS, owner, request, renew_before)
