"""What every resource has: group, kind, metadata, conditions, and how we refer to an object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "nightlatch.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

# An object as JSON, the form in which the store keeps and hands out everything.
RawObject = dict[str, Any]


class Shape(BaseModel):
    """Base of all API shapes: frozen, camelCase on the wire, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type as the API server knows it. `api_version` is `v1` or `group/version`."""

    api_version: str
    kind: str
    plural: str


INFERENCE_ENDPOINT = Kind(API_VERSION, "InferenceEndpoint", "inferenceendpoints")
INFERENCE_CLIENT = Kind(API_VERSION, "InferenceClient", "inferenceclients")
TOKEN_ISSUER = Kind(API_VERSION, "TokenIssuer", "tokenissuers")
SECRET = Kind("v1", "Secret", "secrets")
OUR_KINDS = (INFERENCE_ENDPOINT, INFERENCE_CLIENT, TOKEN_ISSUER)
STORED_KINDS = (*OUR_KINDS, SECRET)


@dataclass(frozen=True, slots=True, order=True)
class NamespacedName:
    """`namespace/name`, the identity of one object within its kind."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "NamespacedName":
        """The inverse of `str()`. Raises ValueError when there is no slash."""
        namespace, slash, name = text.partition("/")
        if not slash:
            raise ValueError(f"{text!r} is not NAMESPACE/NAME")
        return cls(namespace, name)

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> "NamespacedName":
        """The key of a raw object."""
        return cls(obj["metadata"]["namespace"], obj["metadata"]["name"])


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object of one kind (`kind` is the Kind's `kind`, such as `Secret`)."""

    kind: str
    key: NamespacedName

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> "ObjectRef":
        """The reference to a raw object."""
        return cls(obj["kind"], NamespacedName.of(obj))


class OwnerReference(Shape):
    """Kubernetes' own; only within one namespace."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(BaseModel):
    """The part of metadata that we read. Everything else rides along in the raw object."""

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
        """Namespace and name."""
        return NamespacedName(self.namespace, self.name)


ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(Shape):
    """`metav1.Condition`. No timestamps in `message`: it changes only when the state does."""

    type: str = Field(max_length=316)
    status: ConditionStatus
    reason: str = Field(max_length=1024)
    message: str = Field(max_length=32768)
    observed_generation: int = 0
    last_transition_time: str = ""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
