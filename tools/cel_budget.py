"""Prints how much of the API server's budgets the CRDs' CEL rules use: `python -m tools.cel_budget [OBJECT...]`.

An API server refuses a CRD whose rules could cost too much for the largest object that the schema allows, and refuses
an object whose rules did cost too much. The program `cel-cost` counts both with the API server's own library.
OBJECTs are files with one object each, whose cost is printed, too.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.node.artifacts.go_build import built
from tools.node.artifacts.programs import CEL_COST
from tools.node.progress import Progress

CRDS = Path(__file__).parents[1] / "crds"


@dataclass(frozen=True)
class Rule:
    """A rule, the field that it is about, and its estimated cost for the largest object."""

    path: str
    rule: str
    cost: int


@dataclass(frozen=True)
class Definition:
    """The rules of one kind, dearest first, and what an API server would say against the CRD."""

    kind: str
    rules: tuple[Rule, ...]
    refused: tuple[str, ...]

    @property
    def cost(self) -> int:
        """The estimated cost of all rules together."""
        return sum(rule.cost for rule in self.rules)


@dataclass(frozen=True)
class ObjectCost:
    """What the rules cost for one object, how long they took, and the rules that it breaks."""

    file: Path
    cost: int
    seconds: float
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Budget:
    """The API server's limits for a CRD, for one rule of it and for one object, and what was counted."""

    definition_limit: int
    rule_limit: int
    object_limit: int
    definitions: tuple[Definition, ...]
    objects: tuple[ObjectCost, ...]


def counted(definitions: Sequence[Path], objects: Sequence[Path] = ()) -> Budget:
    """The cost of these CRDs and of these objects of their kinds."""
    command = [str(built(CEL_COST, Progress())), *map(str, definitions), "-objects", *map(str, objects)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Budget(
        definition_limit=found["limits"]["definition"],
        rule_limit=found["limits"]["rule"],
        object_limit=found["limits"]["object"],
        definitions=tuple(_definition(each) for each in found["definitions"]),
        objects=tuple(
            ObjectCost(Path(each["file"]), each["cost"], each["seconds"], tuple(each["refused"]))
            for each in found["objects"] or ()
        ),
    )


def _definition(raw: dict[str, Any]) -> Definition:
    rules = (Rule(each["path"], each["rule"], each["cost"]) for each in raw["rules"] or ())
    return Definition(raw["kind"], tuple(sorted(rules, key=lambda rule: -rule.cost)), tuple(raw["refused"]))


def table(budget: Budget) -> Iterator[str]:
    """The lines of Markdown tables."""
    limits = f"of {budget.definition_limit:,} | left | dearest rule | cost | of {budget.rule_limit:,}"
    yield f"| kind | rules | cost of all | {limits} |"
    yield "|---|---|---|---|---|---|---|---|"
    for each in budget.definitions:
        share, dearest = each.cost / budget.definition_limit, each.rules[0]
        yield (
            f"| {each.kind} | {len(each.rules)} | {each.cost:,} | {share:.2%} | {1 - share:.2%} "
            f"| `{dearest.path}` | {dearest.cost:,} | {dearest.cost / budget.rule_limit:.2%} |"
        )
    if budget.objects:
        yield from ("", f"| object | cost | of {budget.object_limit:,} | time |", "|---|---|---|---|")
    for cost in budget.objects:
        yield f"| {cost.file} | {cost.cost:,} | {cost.cost / budget.object_limit:.2%} | {cost.seconds * 1000:.1f} ms |"


def main(arguments: Sequence[str]) -> int:
    """Print the tables. The exit status is 1 if an API server would refuse a CRD or an object."""
    budget = counted(sorted(CRDS.glob("*.yaml")), [Path(argument) for argument in arguments])
    print("\n".join(table(budget)))
    refusals = [message for each in budget.definitions for message in each.refused]
    refusals += [message for each in budget.objects for message in each.refused]
    for message in refusals:
        print(message, file=sys.stderr)
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
