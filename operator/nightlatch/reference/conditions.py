"""`docs/reference/conditions.md`: every condition type and every reason, from `api/conditions.py`."""

from collections.abc import Iterable

from nightlatch.api.conditions import ClientCondition, ConditionType, EndpointCondition, IssuerCondition, Reason, Topic

_INTRODUCTION = """# Conditions and reasons

The status of each object has conditions. `kubectl describe` shows them with a message that names the object or the
field in question. [How to read an endpoint's status](../how-to/status.md) is the place to start.

- A condition is `True` if what it says holds, `False` if not, and `Unknown` before anything is known about it.
- `Ready` sums up the others. The columns of `kubectl get` show its status and its reason.
- `observedGeneration` is the generation of the spec that the condition is about.
- A message changes only when the state does; it holds no times.
"""

_REASONS = """## Reasons

A reason is one CamelCase word for programs. Not only conditions have one: Kubernetes Events have the reasons about the
model server and about sleeping and waking, and a caller gets the reason in the 503 answer when a wake failed.
"""


def render() -> str:
    """The page as Markdown."""
    kinds = {
        "InferenceEndpoint": EndpointCondition,
        "InferenceClient": ClientCondition,
        "TokenIssuer": IssuerCondition,
    }
    sections = [_INTRODUCTION]
    for kind, types in kinds.items():
        sections.append(f"## {kind}\n\n" + _table("condition", "what it says", types))
    sections.append(_REASONS)
    for topic in Topic:
        reasons = [reason for reason in Reason if reason.topic == topic]
        sections.append(f"### {topic}\n\n" + _table("reason", "what it means, and what to do", reasons))
    return "\n".join(sections)


def _table(first: str, second: str, members: Iterable[ConditionType | Reason]) -> str:
    rows = (f"| `{member}` | {member.explanation} |" for member in members)
    return "\n".join([f"| {first} | {second} |", "|---|---|", *rows]) + "\n"
