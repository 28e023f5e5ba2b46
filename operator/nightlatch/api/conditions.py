"""Every condition type and every reason, each with one sentence that explains it and says what to do.

This is the only list: no other module writes a condition type or a reason as text, and a unit test reads the code to
hold us to it. `docs/reference/conditions.md` is generated from here. How a list of conditions changes is at the end.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

from nightlatch.api.meta import Condition


class ConditionType(StrEnum):
    """A condition type, with the question that it answers."""

    def __new__(cls, value: str, explanation: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member

    explanation: str


class EndpointCondition(ConditionType):
    """Condition types of an InferenceEndpoint, in the order of its status."""

    ACCEPTED = "Accepted", "The spec is valid, everything in it is supported here, and no older endpoint has the host."
    CREDENTIALS_READY = "CredentialsReady", "The gateways can be given the API keys of all clients that may call."
    ISSUERS_READY = (
        "IssuersReady",
        "Every TokenIssuer in `access.jwt` exists, lets this namespace in and has keys. Only with `access.jwt`.",
    )
    CERTIFICATES_READY = "CertificatesReady", "The certificates for callers and for the model server are valid."
    PROGRAMMED = "Programmed", "Every connected gateway enforces the newest configuration of this endpoint."
    WORKLOAD_AVAILABLE = "WorkloadAvailable", "The model server runs, or can be started: the newest start did not fail."
    REPLICAS_CAPPED = (
        "ReplicasCapped",
        "Fewer replicas serve than `maxReplicas` asks for. Present only while that is so; Ready does not depend on it.",
    )
    READY = (
        "Ready",
        (
            "Authorized calls are answered as the spec says, also while asleep. Otherwise Ready has the reason of"
            " another condition. During an edit it is about the spec before, and has its `observedGeneration`. After an"
            " edit that cannot be used it is False, and the message says if the last good configuration stays in use."
        ),
    )


class ClientCondition(ConditionType):
    """Condition types of an InferenceClient, in the order of its status."""

    ACCEPTED = "Accepted", "The spec is valid and everything in it is supported."
    CREDENTIALS_READY = (
        "CredentialsReady",
        "The client's Secrets hold the valid API key and certificate of the spec.",
    )
    ENDPOINTS_GRANTED = "EndpointsGranted", "Every endpoint that the client names exists and lets this client in."
    PROGRAMMED = "Programmed", "Every connected gateway of those endpoints knows the key."
    REVOKED = (
        "Revoked",
        "Every gateway refuses what was revoked: the keys in `revokedKeyIds`, or the whole client if it is suspended.",
    )
    READY = "Ready", "The client can call. Otherwise Ready has the reason of another condition."


class IssuerCondition(ConditionType):
    """Condition types of a TokenIssuer, in the order of its status."""

    ACCEPTED = "Accepted", "The spec is valid and everything in it is supported."
    KEYS_READY = "KeysReady", "There are keys that verify tokens, and they are not older than `maxStale`."
    READY = "Ready", "Tokens of this issuer are verified. Otherwise Ready has the reason of another condition."


class Topic(StrEnum):
    """What a group of reasons is about: the headings of the reference page."""

    SUMMARY = "Ready"
    SPEC = "The spec"
    CREDENTIALS = "API keys"
    GRANTS = "Clients and endpoints"
    TOKENS = "Token issuers"
    CERTIFICATES = "Certificates"
    GATEWAYS = "Gateways"
    STATE = "Asleep and awake"
    WORKLOAD = "The model server"


_SPEC, _CREDENTIALS, _GRANTS, _CERTIFICATES = Topic.SPEC, Topic.CREDENTIALS, Topic.GRANTS, Topic.CERTIFICATES
_TOKENS, _GATEWAYS, _STATE, _WORKLOAD = Topic.TOKENS, Topic.GATEWAYS, Topic.STATE, Topic.WORKLOAD


class Reason(StrEnum):
    """A reason for machines, in CamelCase. The message beside it is for people and names the object or field.

    Conditions, Kubernetes Events and the answer to a call whose endpoint could not wake have a reason.
    """

    def __new__(cls, value: str, topic: Topic, explanation: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.topic = topic
        member.explanation = explanation
        return member

    topic: Topic
    explanation: str

    READY = "Ready", Topic.SUMMARY, "Every other condition holds: calls are answered. Nothing to do."

    ACCEPTED = "Accepted", _SPEC, "The spec is valid and in use. Nothing to do."
    MAX_REPLICAS_CAPPED = (
        "MaxReplicasCapped",
        _SPEC,
        "The spec is in use, but one replica serves whatever `maxReplicas` says, until autoscaling is supported.",
    )
    INVALID = "Invalid", _SPEC, "The spec breaks a rule of the API: correct the field that the message names."
    NOT_YET_SUPPORTED = (
        "NotYetSupported",
        _SPEC,
        "The spec uses a field whose feature comes with a later version: write what the message suggests instead.",
    )
    NOT_ON_THIS_PLATFORM = (
        "NotOnThisPlatform",
        _SPEC,
        "The field works only in a cluster, or only without one: write what the message suggests instead.",
    )
    NOT_ALLOWED_BY_ADMINISTRATOR = (
        "NotAllowedByAdministrator",
        _SPEC,
        "The administrator does not allow what the spec asks for: remove it, or see the setting in the message.",
    )
    HOST_CONFLICT = (
        "HostConflict",
        _SPEC,
        "An older endpoint has the same host name: give this endpoint another name, or delete the other one.",
    )

    TOO_MANY_ENDPOINTS_WITH_CERTIFICATES = (
        "TooManyEndpointsWithCertificates",
        _SPEC,
        "As many endpoints ask their callers for certificates as may: take `access.mtls` away from one of them.",
    )

    ISSUED = "Issued", _CREDENTIALS, "The keys, or the certificates, exist and are valid. Nothing to do."
    NO_CLIENTS = (
        "NoClients",
        _CREDENTIALS,
        "No client with a key names the endpoint, so nobody can call it: create an InferenceClient.",
    )
    TOO_MANY_KEYS = (
        "TooManyKeys",
        _CREDENTIALS,
        "The endpoint has more keys than a gateway can take; the rest is refused: spread the clients over endpoints.",
    )
    TOO_MANY_CERTIFICATES = (
        "TooManyCertificates",
        _CREDENTIALS,
        "More certificates may call the endpoint than a gateway can take; the rest is refused: spread the clients.",
    )
    SECRET_CONFLICT = (
        "SecretConflict",
        _CREDENTIALS,
        "A Secret of the name that we need exists and is not ours: rename or delete it, or choose another name.",
    )
    KEY_PENDING = "KeyPending", _CREDENTIALS, "The operator is creating the client's API key: wait a moment."
    KEY_LOST = (
        "KeyLost",
        _CREDENTIALS,
        "The Secret was deleted during an overlap, whose end the new key waits for: wait, or set `overlap` to `0s`.",
    )
    KEY_EXPIRED = (
        "KeyExpired",
        _CREDENTIALS,
        "`spec.apiKey.expiresAt` has passed, so every key is refused: write a later time, or remove the field.",
    )
    ROTATING = (
        "Rotating",
        _CREDENTIALS,
        "A new key takes the place of the present one once every gateway knows it: wait; the message names the rest.",
    )
    REVOKED = "Revoked", _CREDENTIALS, "Every gateway refuses what was revoked. Nothing to do."
    NOTHING_REVOKED = "NothingRevoked", _CREDENTIALS, "No key of the client was revoked. Nothing to do."
    UNKNOWN_KEY_ID = (
        "UnknownKeyId",
        _CREDENTIALS,
        "`revokedKeyIds` names a key that the client never had: correct the id; `status.keys` has those of the client.",
    )
    SUSPENDED = (
        "Suspended",
        _CREDENTIALS,
        "Every credential of the client is refused, as asked: set `spec.suspend` to false to let it in again.",
    )

    GRANTED = "Granted", _GRANTS, "Every endpoint that the client names lets it in. Nothing to do."
    NO_ENDPOINTS = "NoEndpoints", _GRANTS, "The client names no endpoint, so it can call none: add one to its spec."
    ENDPOINT_NOT_FOUND = (
        "EndpointNotFound",
        _GRANTS,
        "The client names an endpoint that does not exist: create it, or correct the client's `spec.endpoints`.",
    )
    NAMESPACE_NOT_ALLOWED = (
        "NamespaceNotAllowed",
        _GRANTS,
        "The endpoint does not let clients of this namespace in: add it to the endpoint's `allowedNamespaces`.",
    )
    API_KEYS_NOT_ACCEPTED = (
        "ApiKeysNotAccepted",
        _GRANTS,
        "The endpoint does not take API keys: set its `spec.access.apiKey`, or do not name it in the client.",
    )
    CERTIFICATES_NOT_ACCEPTED = (
        "CertificatesNotAccepted",
        _GRANTS,
        "The endpoint does not take client certificates: set its `spec.access.mtls`, or give the client an API key.",
    )
    CERTIFICATE_NOT_TRUSTED = (
        "CertificateNotTrusted",
        _GRANTS,
        "The endpoint does not trust the CA of the client's certificate: put the CA into a Secret of its `mtls.trust`.",
    )
    CREDENTIALS_INCOMPLETE = (
        "CredentialsIncomplete",
        _GRANTS,
        "The endpoint asks for several credentials in one call, and the client has not all: give it what is missing.",
    )
    INVALID_CLIENT_NAME = (
        "InvalidClientName",
        _GRANTS,
        "The client's name is not one DNS label of at most 63 characters: create it again under another name.",
    )

    KEYS_IN_USE = (
        "KeysInUse",
        _TOKENS,
        "The issuer's keys are known, and its tokens are verified by them. Nothing to do.",
    )
    KEYS_PENDING = "KeysPending", _TOKENS, "The issuer's keys are being fetched: wait a moment."
    KEYS_KEPT = (
        "KeysKept",
        _TOKENS,
        "The newest keys could not be used, so the last good ones stay until they are `maxStale` old: see the message.",
    )
    KEYS_TOO_OLD = (
        "KeysTooOld",
        _TOKENS,
        "The last good keys are older than `maxStale`, so no token is verified: do what the message says.",
    )
    PROVIDER_UNREACHABLE = (
        "ProviderUnreachable",
        _TOKENS,
        "The identity provider did not answer, or not with success: check its URL, its certificate and `caSecretRef`.",
    )
    CLUSTER_KEYS_FORBIDDEN = (
        "ClusterKeysForbidden",
        _TOKENS,
        "The operator may not read the cluster's keys: bind it to `system:service-account-issuer-discovery`.",
    )
    ADDRESS_NOT_ALLOWED = (
        "AddressNotAllowed",
        _TOKENS,
        "The provider's address is not a public one: ask the administrator to allow its network.",
    )
    ANSWER_REFUSED = (
        "AnswerRefused",
        _TOKENS,
        "The provider answered with a redirect, or with something that is no key set: correct the URL of the keys.",
    )
    ISSUER_MISMATCH = (
        "IssuerMismatch",
        _TOKENS,
        "The discovery document is of another issuer: write in `spec.issuer` exactly what the provider calls itself.",
    )
    KEY_NOT_PUBLIC = (
        "KeyNotPublic",
        _TOKENS,
        "The key set has a private or symmetric key, which is no secret any more: replace it at the provider.",
    )
    KEY_TOO_WEAK = "KeyTooWeak", _TOKENS, "An RSA key has fewer than 2048 bits: make a longer one at the provider."
    KEY_ID_REPEATED = (
        "KeyIdRepeated",
        _TOKENS,
        "Two keys have the same `kid`, so that a token does not say by which it is signed: correct it at the provider.",
    )
    KEY_INVALID = "KeyInvalid", _TOKENS, "A key cannot be read: correct it at the provider."
    NO_USABLE_KEY = (
        "NoUsableKey",
        _TOKENS,
        "No key of the set is for signatures of `spec.algorithms`: add its algorithm there, or correct the provider.",
    )
    DENIED_TOO_LONG = (
        "DeniedTooLong",
        _TOKENS,
        "`spec.denied` is too long for one Secret, so no token is accepted: remove entries that have expired.",
    )
    PROVIDER_CA_MISSING = (
        "ProviderCAMissing",
        _TOKENS,
        "The Secret in `spec.caSecretRef` is missing, not labelled, or holds no CA in `ca.crt`: see the message.",
    )
    ISSUER_NOT_FOUND = (
        "IssuerNotFound",
        _TOKENS,
        "The endpoint names a TokenIssuer that does not exist: create it, or correct `spec.access.jwt.issuers`.",
    )
    ISSUER_NOT_ALLOWED = (
        "IssuerNotAllowed",
        _TOKENS,
        "The TokenIssuer does not let endpoints of this namespace name it: add it to the issuer's `allowedNamespaces`.",
    )
    ISSUERS_READY = "IssuersReady", _TOKENS, "The tokens of every issuer of the endpoint are verified. Nothing to do."
    ISSUER_NOT_READY = (
        "IssuerNotReady",
        _TOKENS,
        "The tokens of a TokenIssuer cannot be verified at present: see the conditions of that issuer.",
    )

    ISSUING_CA_PENDING = (
        "IssuingCAPending",
        _CERTIFICATES,
        "The operator has not created its issuing CA yet: wait a moment; if it lasts, read the operator's log.",
    )
    CERTIFICATE_MISSING = (
        "CertificateMissing",
        _CERTIFICATES,
        "No certificate exists yet; the operator is issuing one: wait a moment.",
    )
    CERTIFICATE_UNREADABLE = (
        "CertificateUnreadable",
        _CERTIFICATES,
        "The Secret holds no readable certificate with its key; the operator is issuing a new one: wait a moment.",
    )
    CERTIFICATE_KEY_MISMATCH = (
        "CertificateKeyMismatch",
        _CERTIFICATES,
        "The private key is not the certificate's own; the operator is issuing a new one: wait a moment.",
    )
    CERTIFICATE_WRONG_IDENTITY = (
        "CertificateWrongIdentity",
        _CERTIFICATES,
        "The certificate is for another identity or use; the operator is issuing a new one: wait a moment.",
    )
    CERTIFICATE_EXPIRED = (
        "CertificateExpired",
        _CERTIFICATES,
        "The certificate has expired or is not valid yet; a new one is being issued: if it lasts, check the clocks.",
    )
    CERTIFICATE_REVOKED = (
        "CertificateRevoked",
        _CERTIFICATES,
        "`certificate.revokedDigests` names the client's certificate; a new one is being issued: wait a moment.",
    )
    CERTIFICATE_WRONG_NAMES = (
        "CertificateWrongNames",
        _CERTIFICATES,
        "The certificate has other DNS names than wanted: it is replaced while it still works (not shown in a status).",
    )
    CERTIFICATE_WRONG_ISSUER = (
        "CertificateWrongIssuer",
        _CERTIFICATES,
        "An earlier issuing CA signed the certificate: it is replaced while it still works (not shown in a status).",
    )
    CERTIFICATE_DUE_FOR_RENEWAL = (
        "CertificateDueForRenewal",
        _CERTIFICATES,
        "The certificate ends soon: it is replaced while it still works (not shown in a status).",
    )

    CERT_MANAGER_MISSING = (
        "CertManagerMissing",
        _CERTIFICATES,
        "The spec has an `issuerRef`, and the cluster has no cert-manager: install it, or remove the `issuerRef`.",
    )
    CERTIFICATE_REFUSED = (
        "CertificateRefused",
        _CERTIFICATES,
        "The Certificate for cert-manager could not be created or changed: do what the message says.",
    )
    CERTIFICATE_NOT_ISSUED = (
        "CertificateNotIssued",
        _CERTIFICATES,
        "No certificate came from cert-manager's issuer yet: wait; if it lasts, see the Certificate and the issuer.",
    )
    CERTIFICATE_NOT_RENEWED = (
        "CertificateNotRenewed",
        _CERTIFICATES,
        "The issuer has not renewed the certificate, which works until its end: see the Certificate and its issuer.",
    )
    CERTIFICATE_UNVERIFIED = (
        "CertificateUnverified",
        _CERTIFICATES,
        "The certificate is a CA, or no chain leads from it to a CA in the `ca.crt` beside it: correct the issuer.",
    )
    CA_MISSING = (
        "CAMissing",
        _CERTIFICATES,
        "The Secret of the CA that you bring does not exist: create it in the operator's namespace.",
    )
    CA_WITHOUT_KEY = (
        "CAWithoutKey",
        _CERTIFICATES,
        "The CA that you bring has no private key, so it cannot sign: put the key into the Secret as `tls.key`.",
    )
    CA_UNREADABLE = (
        "CAUnreadable",
        _CERTIFICATES,
        "The Secret of the CA that you bring holds something else than a CA with its key: do what the message says.",
    )
    CA_EXPIRED = (
        "CAExpired",
        _CERTIFICATES,
        "The CA that you bring, or one above it, has expired or is not valid yet: bring one that is valid.",
    )
    CA_CHAIN_BROKEN = (
        "CAChainBroken",
        _CERTIFICATES,
        "The CA that you bring does not lead to a root in `ca.crt`: add the CAs between them to `tls.crt`, in order.",
    )
    CA_PATH_LENGTH = (
        "CAPathLength",
        _CERTIFICATES,
        "A CA above the one that you bring does not allow it to sign leaves: bring one that it allows.",
    )
    TRUST_MISSING = (
        "TrustMissing",
        _CERTIFICATES,
        "There is no Secret of CAs of that name with the label `nightlatch.dev/use: trust`: create or label it.",
    )
    TRUST_CLEANED = (
        "TrustCleaned",
        _CERTIFICATES,
        "A CA in a Secret of CAs to trust has expired or is there twice; the others are used: remove it.",
    )
    TRUST_WITHOUT_CA = (
        "TrustWithoutCA",
        _CERTIFICATES,
        "The Secret of CAs to trust holds none that is valid: put the CA certificates into it as `ca.crt`.",
    )
    TRUST_HOLDS_LEAF = (
        "TrustHoldsLeaf",
        _CERTIFICATES,
        "The Secret of CAs to trust holds a certificate that is not a CA: put the CA that signed it there instead.",
    )
    TRUST_HOLDS_PRIVATE_KEY = (
        "TrustHoldsPrivateKey",
        _CERTIFICATES,
        "The Secret of CAs to trust holds a private key, which has no use there: make one with `ca.crt` alone.",
    )
    CERTIFICATE_RENEWAL_ASKED = (
        "CertificateRenewalAsked",
        _CERTIFICATES,
        "`nightlatch.dev/renew` asks for a new certificate: this one is replaced while it still works.",
    )

    PROGRAMMED = "Programmed", _GATEWAYS, "Every connected gateway has applied the newest configuration. Nothing to do."
    CONFIGURATION_PENDING = (
        "ConfigurationPending",
        _GATEWAYS,
        "The operator has given no configuration to the gateways yet: see `Accepted` and `CertificatesReady`.",
    )
    INVALID_CONFIGURATION = (
        "InvalidConfiguration",
        _GATEWAYS,
        "The spec is valid, but gateways would refuse what follows from it: change the value that the message names.",
    )
    GATEWAY_REFUSED = (
        "GatewayRefused",
        _GATEWAYS,
        "A gateway's Envoy refused the configuration and keeps the one before: please report this as a bug.",
    )
    GATEWAY_BEHIND = (
        "GatewayBehind",
        _GATEWAYS,
        "A gateway has not applied the newest configuration yet: wait; if it lasts, read that gateway's log.",
    )
    GATEWAY_TOO_OLD = (
        "GatewayTooOld",
        _GATEWAYS,
        "A gateway is too old for the configuration or the spec, and keeps what it had: upgrade the gateways.",
    )
    NO_GATEWAY = "NoGateway", _GATEWAYS, "No gateway has reported yet: check that one is running."
    GATEWAY_DISCONNECTED = (
        "GatewayDisconnected",
        _GATEWAYS,
        "A gateway that should report does not, so revocations may not reach it: read that gateway's log.",
    )
    WAITING_FOR_GATEWAYS = (
        "WaitingForGateways",
        _GATEWAYS,
        "A gateway has not confirmed that it refuses what was revoked: wait; if it lasts, read that gateway's log.",
    )
    CERTIFICATE_NOT_PROGRAMMED = (
        "CertificateNotProgrammed",
        _GATEWAYS,
        "Not every gateway knows the identity in the client's certificate yet: wait; if it lasts, see the endpoint.",
    )
    KEY_NOT_PROGRAMMED = (
        "KeyNotProgrammed",
        _GATEWAYS,
        "Not every gateway knows the client's key yet: wait; if it lasts, see the endpoint's conditions.",
    )

    ASLEEP = "Asleep", _STATE, "No replica runs; the next authorized call wakes the endpoint. Nothing to do."
    WAKING = "Waking", _STATE, "The model server is starting, and authorized calls are held. Nothing to do."
    AWAKE = "Awake", _STATE, "The model server answers calls. Nothing to do."
    DRAINING = "Draining", _STATE, "The endpoint is idle and goes to sleep once every gateway is done. Nothing to do."

    NOT_ACCEPTED = (
        "NotAccepted",
        _WORKLOAD,
        "Nothing is started before the spec has been accepted once: see the condition `Accepted`.",
    )
    WORKLOAD_REFUSED = (
        "WorkloadRefused",
        _WORKLOAD,
        "The platform refused the Deployment or another object of the endpoint: do what the message says.",
    )
    MODEL_NOT_FOUND = (
        "ModelNotFound",
        _WORKLOAD,
        "The directory in `spec.model.source.path` does not exist: create it, or correct the path.",
    )
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        _WORKLOAD,
        "The image could not be pulled: check its name and `spec.runtime.imagePullSecrets`.",
    )
    UNSCHEDULABLE = "Unschedulable", _WORKLOAD, "No node has room for the pod: lower its requests, or add a node."
    VOLUME_MISSING = (
        "VolumeMissing",
        _WORKLOAD,
        "The volume does not exist: create the PersistentVolumeClaim that the message names.",
    )
    QUOTA_EXCEEDED = "QuotaExceeded", _WORKLOAD, "The namespace's quota is used up: raise it, or free some of it."
    POD_REFUSED = (
        "PodRefused",
        _WORKLOAD,
        "The API server or an admission rule refused the pod: the message is its own, do what it says.",
    )
    CONTAINER_NOT_CREATED = (
        "ContainerNotCreated",
        _WORKLOAD,
        "The container could not be created: provide what the message says is missing, such as a Secret.",
    )
    MODEL_SERVER_EXITED = (
        "ModelServerExited",
        _WORKLOAD,
        "The model server ended by itself: the message has its last error, such as a digest that does not match.",
    )
    WAKE_TIMEOUT = (
        "WakeTimeout",
        _WORKLOAD,
        "The endpoint did not wake within the time that a call may be held: retry, or raise `hold.timeout`.",
    )


def set_condition(existing: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """`existing` with `new` in the place of the condition of its type, or at the end.

    The transition time of `new` counts if the status changed; otherwise the old one stays.
    """
    conditions = tuple(existing)
    old = find(conditions, new.type)
    if old is None:
        return (*conditions, new)
    same = old.status == new.status
    dated = new.model_copy(update={"last_transition_time": old.last_transition_time}) if same else new
    return tuple(dated if each.type == new.type else each for each in conditions)


def set_conditions(existing: Iterable[Condition], new: Iterable[Condition]) -> tuple[Condition, ...]:
    """`existing` after `set_condition` for each of `new`."""
    conditions = tuple(existing)
    for each in new:
        conditions = set_condition(conditions, each)
    return conditions


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type, if there is one."""
    return next((each for each in conditions if each.type == kind), None)
