"""What the administrator lets the owners of endpoints ask for, and what an endpoint asks for beyond that. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightlatch.api.conditions import Reason
from nightlatch.api.endpoint import InferenceEndpoint, Toleration
from nightlatch.api.validation.unsupported import Unsupported

# The taints of nodes with accelerators: pods that ask for none of those gain nothing from tolerating them.
ACCELERATOR_TAINTS = ("nvidia.com/gpu", "amd.com/gpu", "google.com/tpu", "aws.amazon.com/neuron")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Keys of taints, and names of RuntimeClasses and PriorityClasses. `*` at the end stands for any text.

    The defaults are those of the chart's `modelServer.allowed…`.
    """

    tolerations: tuple[str, ...] = ACCELERATOR_TAINTS
    runtime_classes: tuple[str, ...] = ("nvidia",)
    priority_classes: tuple[str, ...] = ()


def not_allowed(endpoint: InferenceEndpoint, allowed: Allowed) -> Iterator[Unsupported]:
    """The fields that ask for more than the administrator allows."""
    runtime = endpoint.spec.runtime
    for index, toleration in enumerate(runtime.tolerations):
        if not _matches(toleration.key or "*", allowed.tolerations):
            yield _refused(f"tolerations[{index}]", _named(toleration), "allowedTolerations")
    for field, name, setting, known in (
        ("runtimeClassName", runtime.runtime_class_name, "allowedRuntimeClasses", allowed.runtime_classes),
        ("priorityClassName", runtime.priority_class_name, "allowedPriorityClasses", allowed.priority_classes),
    ):
        if name is not None and not _matches(name, known):
            yield _refused(field, name, setting)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """A toleration of every taint has the name `*`, which the pattern `*` alone matches."""
    return any(name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])) for pattern in patterns)


def _named(toleration: Toleration) -> str:
    return toleration.key or "every taint"


def _refused(field: str, asked: str, setting: str) -> Unsupported:
    return Unsupported(
        f"spec.runtime.{field}",
        Reason.NOT_ALLOWED_BY_ADMINISTRATOR,
        f"{asked} is not in modelServer.{setting} of the chart: remove it, or ask the administrator to add it",
    )
