"""What all kinds share: group and version, metadata, conditions, and references to objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "nightlatch.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

# An object as JSON. The store keeps and returns every object in this form.
RawObject = dict[str, Any]


class Shape(BaseModel):
    """The base of all API models: frozen, camelCase in JSON, and strict about unknown fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type of the Kubernetes API. `api_version` is `v1` or `group/version`."""

    api_version: str
    kind: str
    plural: str


INFERENCE_ENDPOINT = Kind(API_VERSION, "InferenceEndpoint", "inferenceendpoints")
INFERENCE_CLIENT = Kind(API_VERSION, "InferenceClient", "inferenceclients")
TOKEN_ISSUER = Kind(API_VERSION, "TokenIssuer", "tokenissuers")
SECRET = Kind("v1", "Secret", "secrets")
NAMESPACE = Kind("v1", "Namespace", "namespaces")
# Of cert-manager, where a cluster has it.
CERTIFICATE = Kind("cert-manager.io/v1", "Certificate", "certificates")
OUR_KINDS = (INFERENCE_ENDPOINT, INFERENCE_CLIENT, TOKEN_ISSUER)
STORED_KINDS = (*OUR_KINDS, SECRET)


@dataclass(frozen=True, slots=True, order=True)
class NamespacedName:
    """Namespace and name: the identity of one object within its kind. As text: `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "NamespacedName":
        """The inverse of `str()`. Raises ValueError if the text has no slash."""
        namespace, slash, name = text.partition("/")
        if not slash:
            raise ValueError(f"{text!r} is not NAMESPACE/NAME")
        return cls(namespace, name)

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> "NamespacedName":
        """Namespace and name of a raw object."""
        return cls(obj["metadata"]["namespace"], obj["metadata"]["name"])


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object. `kind` is the kind's name, such as `Secret`."""

    kind: str
    key: NamespacedName

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> "ObjectRef":
        """A reference to a raw object."""
        return cls(obj["kind"], NamespacedName.of(obj))


class OwnerReference(Shape):
    """An owner reference, as in Kubernetes: owner and object are in the same namespace."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(BaseModel):
    """The part of `metadata` that Nightlatch reads. The raw object keeps the rest."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    name: str
    namespace: str
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def key(self) -> NamespacedName:
        return NamespacedName(self.namespace, self.name)


ConditionStatus = Literal["True", "False", "Unknown"]
# An RFC 3339 time that the operator writes.
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
# A generation, which Kubernetes counts in 64 bits. Every other whole number of ours is an int32.
Generation = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


_CONDITION_WORD = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


# A message holds no time of day, so that it changes only when the state does.
class Condition(Shape):
    """One aspect of an object's state, as in Kubernetes (`metav1.Condition`)."""

    type: Annotated[str, Field(min_length=1, max_length=316, pattern=_CONDITION_WORD)]
    """What the condition is about."""
    status: ConditionStatus
    """`True`: it holds. `False`: it does not hold. `Unknown`: the operator cannot tell yet."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=_CONDITION_WORD)]
    """Why, as one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, and what to do next, as a sentence for people."""
    observed_generation: Generation = 0
    """The `metadata.generation` that the condition is about."""
    last_transition_time: Timestamp
    """When `status` last changed."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
