"""References between our objects across namespaces, and which namespaces may make them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from nightlatch.api.meta import NamespacedName, Shape
from nightlatch.api.rules import AS_SET, rules
from nightlatch.api.scalars import Name, Namespace, OwnNamespaceIfEmpty, SecretKeyName


class LabelRequirement(Shape):
    """A condition on one label of a namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
                "In and NotIn need values, Exists and DoesNotExist take none: add values, or remove them",
            )
        )
    )

    key: Annotated[str, Field(min_length=1, max_length=317)]
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """`In`: the label has one of `values`. `NotIn`: it has none of them, or is missing. `Exists`: the label is there.
    `DoesNotExist`: it is not."""
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=32)] = ()
    """The values for `In` and `NotIn`."""

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy it."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(Shape):
    """A selector of namespaces by their labels, as in Kubernetes. All of its conditions must hold."""

    match_labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] = Field(
        default_factory=dict
    )
    """Labels that a namespace must have, with these values."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=32)] = ()
    """More conditions on labels."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether it selects what has these labels. An empty selector selects everything."""
        return self.match_labels.items() <= labels.items() and all(
            each.holds(labels) for each in self.match_expressions
        )


class AllowedNamespaces(Shape):
    """The namespaces whose objects may name this one. Its own namespace always may."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.from == 'Names') == (has(self.names) && self.names.size() > 0)",
                "names and from: Names go together: write both, such as {from: Names, names: [search]}",
            ),
            (
                "(self.from == 'Selector') == has(self.selector)",
                "selector and from: Selector go together: write both, or neither",
            ),
        )
    )

    from_: Literal["Same", "All", "Names", "Selector"] = Field(default="Same", alias="from")
    """`Same`: no other namespace. `All`: every namespace. `Names`: those in `names`. `Selector`: those whose labels
    match `selector`."""
    names: Annotated[tuple[Namespace, ...], Field(max_length=64, json_schema_extra=AS_SET)] = ()
    """The namespaces, for `from: Names`."""
    selector: LabelSelector | None = None
    """The labels that a namespace must have, for `from: Selector`. Cluster only."""

    def admit(self, namespace: str, *, own: str, labels: Mapping[str, str]) -> bool:
        """Whether objects of `namespace`, which has these labels, may name an object that is in the namespace `own`."""
        match self.from_:
            case "All":
                return True
            case "Names":
                return namespace == own or namespace in self.names
            case "Selector":
                return namespace == own or (self.selector is not None and self.selector.matches(labels))
            case "Same":
                return namespace == own


class IssuerReference(Shape):
    """A TokenIssuer. One of another namespace must allow it (`spec.allowedNamespaces`)."""

    name: Name
    """The TokenIssuer's name."""
    namespace: OwnNamespaceIfEmpty = ""
    """The TokenIssuer's namespace. Left out or empty: the endpoint's own."""
    kind: Literal["TokenIssuer"] = "TokenIssuer"
    """The kind of the issuer. `TokenIssuer`: an object of one namespace."""

    def issuer(self, own_namespace: str) -> NamespacedName:
        """The issuer that an endpoint in `own_namespace` means."""
        return NamespacedName(self.namespace or own_namespace, self.name)


class CertManagerIssuer(Shape):
    """An issuer of cert-manager."""

    name: SecretKeyName
    """The issuer's name."""
    kind: Annotated[str, Field(max_length=64)] = "Issuer"
    """The issuer's kind, such as Issuer or ClusterIssuer."""
    group: Annotated[str, Field(max_length=253)] = "cert-manager.io"
    """The API group of the issuer's kind."""
