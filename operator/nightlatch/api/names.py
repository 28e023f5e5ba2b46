"""The names of everything that Nightlatch creates, labels, annotations, Secrets and SPIFFE ids, and the rule for the
names of our own objects.

They are in one place so that the code that creates an object and the code that looks for it agree.
"""

from typing import NamedTuple

from nightlatch.api.meta import GROUP, NamespacedName

# A Service is called as its endpoint, and its name begins with a letter (RFC 1035).
NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
# The longest suffixes of derived names are `-model-server` and `-upstream-tls`, and 63 is the limit of a Service's name
# and of a label. Kubernetes' own suffixes, such as those of a Job's pods, fit, too.
# No suffix of a Secret may end with another one or with a word that ends a fixed name below: the Secret of one object
# would have the name of another's.
MAX_NAME_LENGTH = 50
PODS_SUFFIX = "-pods"

LABEL_ROLE = f"{GROUP}/role"
LABEL_ENDPOINT = f"{GROUP}/endpoint"
LABEL_CLIENT = f"{GROUP}/client"
LABEL_OWNER_UID = f"{GROUP}/owner-uid"
# On a user's Secret that the operator may read: what for.
LABEL_USE = f"{GROUP}/use"
USE_TRUST = "trust"
ANNOTATION_OWNER = f"{GROUP}/owner"
ANNOTATION_APPLIED = f"{GROUP}/applied-digest"
ANNOTATION_ROTATE = f"{GROUP}/rotate"
ANNOTATION_RENEW = f"{GROUP}/renew"
# On the Secret of a certificate: the value of the annotation above for which it was issued.
ANNOTATION_RENEWED = f"{GROUP}/renewed"
# Of cert-manager, on a Secret that it filled: the name of the Certificate, and the kind and name of the issuer.
ANNOTATION_CERTIFICATE = "cert-manager.io/certificate-name"
ANNOTATIONS_ISSUER = ("cert-manager.io/issuer-kind", "cert-manager.io/issuer-name")
# On a Certificate of cert-manager: the SHA-256 of the revoked certificate that it was last asked to replace.
ANNOTATION_REPLACED = f"{GROUP}/replaced"
ANNOTATION_ROLLOVER = f"{GROUP}/rollover"
ANNOTATION_ADOPT = f"{GROUP}/adopt"

ROLE_ROUTE_DOCUMENT = "route-document"
ROLE_REVOCATIONS = "revocations"
ROLE_ISSUER_DOCUMENT = "issuer-document"
ROLE_SERVER_TLS = "server-tls"
ROLE_UPSTREAM_TLS = "upstream-tls"
ROLE_API_KEY = "api-key"
ROLE_CLIENT_TLS = "client-tls"
ROLE_CA = "ca"
ROLE_GATEWAY_TLS = "gateway-tls"
ROLE_OPERATOR_TLS = "operator-tls"

ROOT_CA_SECRET = "nightlatch-root-ca"  # noqa: S105 - the name of a Secret
ISSUING_CA_SECRET = "nightlatch-issuing-ca"  # noqa: S105
# During a roll-over there are two CAs. Which of the two places is in use, the ledger in TRUST_SECRET says.
SECOND_ROOT_CA_SECRET = "nightlatch-root-ca-b"  # noqa: S105
SECOND_ISSUING_CA_SECRET = "nightlatch-issuing-ca-b"  # noqa: S105
TRUST_SECRET = "nightlatch-trust"  # noqa: S105
OPERATOR_TLS_SECRET = "nightlatch-operator-tls"  # noqa: S105
REVOCATIONS_SECRET = "nightlatch-revocations"  # noqa: S105
GATEWAY_CLIENT_TLS_SECRET = "nightlatch-gateway-client-tls"  # noqa: S105
GATEWAY_SERVER_TLS_SECRET = "nightlatch-gateway-server-tls"  # noqa: S105

# The ConfigMap where the callers of a namespace find the CA, and the Lease of the acting operator.
CA_CONFIG_MAP = "nightlatch-ca"
# The ConfigMap in the operator's namespace that tells the state of the installation.
INSTALLATION_CONFIG_MAP = "nightlatch-installation"
OPERATOR_LEASE = "nightlatch-operator"

DEFAULT_OPERATOR_NAMESPACE = "nightlatch-system"
DEFAULT_GATEWAY_NAMESPACE = "nightlatch-gateway"
DEFAULT_TRUST_DOMAIN = "nightlatch.local"

# The DNS name in the certificate of the gateway's report stream. gRPC clients check a DNS name, not a SPIFFE id.
GATEWAY_REPORT_NAME = "report.gateway.nightlatch.internal"


class Request(NamedTuple):
    """An annotation with which a user asks for something once, with plain kubectl. The operator acts on each new value,
    so the time is a good one."""

    annotation: str
    put_on: str
    effect: str


REQUESTS = (
    Request(
        ANNOTATION_ROTATE,
        "InferenceClient",
        "Makes a new API key now. The previous one works on for `apiKey.overlap`.",
    ),
    Request(
        ANNOTATION_RENEW,
        "InferenceEndpoint or InferenceClient",
        "Issues its certificates now, with new private keys. The ones before stay valid until they end.",
    ),
    Request(
        ANNOTATION_ROLLOVER,
        f"ConfigMap `{INSTALLATION_CONFIG_MAP}` in the operator's namespace",
        "Replaces the CA, step by step; no step begins before every gateway has taken the one before.",
    ),
    Request(
        ANNOTATION_ADOPT,
        f"Secret of a client's key, whose annotation `{ANNOTATION_OWNER}` names that client in the same namespace",
        "Makes the Secret the client's own with the key that it holds, for example after a restore.",
    ),
)


def endpoint_identity(trust_domain: str, key: NamespacedName) -> str:
    """The SPIFFE id of the endpoint's model server."""
    return f"spiffe://{trust_domain}/ns/{key.namespace}/ie/{key.name}"


def client_identity(trust_domain: str, key: NamespacedName) -> str:
    """The SPIFFE id of a client."""
    return f"spiffe://{trust_domain}/ns/{key.namespace}/ic/{key.name}"


def gateway_identity(trust_domain: str) -> str:
    """The SPIFFE id that all gateways share."""
    return f"spiffe://{trust_domain}/gateway"


def operator_identity(trust_domain: str) -> str:
    """The SPIFFE id of the operator."""
    return f"spiffe://{trust_domain}/operator"


def route_document(endpoint: NamespacedName) -> str:
    """A Secret in the gateway's namespace. Namespaces contain no dots, so two endpoints never share a name."""
    return f"route.{endpoint.namespace}.{endpoint.name}"


def issuer_document(issuer: NamespacedName) -> str:
    """A Secret in the gateway's namespace."""
    return f"issuer.{issuer.namespace}.{issuer.name}"


def upstream_tls(endpoint: NamespacedName) -> str:
    """A Secret in the endpoint's namespace, which the model server mounts."""
    return f"{endpoint.name}-upstream-tls"


def server_tls(endpoint: NamespacedName) -> str:
    """A Secret in the operator's namespace: the certificate that callers see. The route document has a copy."""
    return f"server-tls.{endpoint.namespace}.{endpoint.name}"


def serving_cert(endpoint: NamespacedName) -> str:
    """A Secret in the endpoint's namespace, and the Certificate of cert-manager that fills it: what callers see instead
    of the above. It does not end in `-server-tls`, which would be the gateway's own in its namespace.
    """
    return f"{endpoint.name}-serving-cert"


def api_key(client: NamespacedName) -> str:
    """The default name of the Secret with the client's key, in the client's namespace."""
    return f"{client.name}-key"


def client_tls(client: NamespacedName) -> str:
    """The default name of the Secret with the client's certificate, in the client's namespace.

    It does not end in `-tls`: the client `chat-upstream` would ask for the upstream certificate of the endpoint `chat`,
    and the client `nightlatch-operator` in the operator's namespace for the operator's own.
    """
    return f"{client.name}-certificate"


def pods_service(endpoint: NamespacedName) -> str:
    """Headless Service of the model server's pods. The front Service and all else have the endpoint's own name."""
    return f"{endpoint.name}{PODS_SUFFIX}"


def service_account(endpoint: NamespacedName) -> str:
    """ServiceAccount of the pods. The suffix keeps it apart from an account that a user made for the endpoint."""
    return f"{endpoint.name}-model-server"
