"""Condition types and reasons come from the one list in api/conditions.py: this reads the code to see that they do."""

import ast
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from nightlatch.api.client import KeyState
from nightlatch.api.conditions import ClientCondition, EndpointCondition, IssuerCondition, Reason, Topic
from nightlatch.api.endpoint import EndpointState

SOURCES = Path(__file__).parents[3] / "operator" / "nightlatch"
LIST = "api/conditions.py"
ENUMS: Mapping[str, type[StrEnum]] = {
    each.__name__: each for each in (Reason, EndpointCondition, ClientCondition, IssuerCondition)
}
WORDS = {str(member) for enum in ENUMS.values() for member in enum}
NAMES = {"reason", "denied"}
# Kubernetes' own reasons, such as NotFound and AlreadyExists.
FOREIGN_REASONS = {
    "kube/client.py",
    "kube/errors.py",
    "store/kubernetes/store.py",
    # cert-manager's.
    "workloads/kubernetes/certificates.py",
}
# Words of the list that mean something else here: states of an endpoint and of a key, a pod's condition, headings of
# columns.
STATES = set(get_args(EndpointState))
KEY_STATES = set(get_args(KeyState))
OTHER_MEANINGS = {
    "workloads/kubernetes/pod_state.py": {"Ready"},
    "api/crd/generate.py": {"Ready", "Suspended"},
    "api/crd/columns.py": {"Ready", "Suspended"},
    "cli/columns.py": {"Ready"},
    # Of conditions of cert-manager's Certificates.
    "planning/certificates.py": {"Ready", "Issued"},
}


@cache
def modules() -> dict[str, ast.Module]:
    paths = {path.relative_to(SOURCES).as_posix(): path for path in SOURCES.rglob("*.py")}
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in paths.items() if name != LIST}


def reason_positions(trees: Mapping[str, ast.Module]) -> dict[str, set[int]]:
    """By name of a function or dataclass: at which positions it takes a reason."""
    found: dict[str, set[int]] = {}
    for name, tree in trees.items():
        for node in ast.walk(tree) if name not in FOREIGN_REASONS else ():
            for position, parameter in enumerate(parameters(node)):
                if parameter in NAMES:
                    found.setdefault(node.name, set()).add(position)  # type: ignore[attr-defined]
    return found


def parameters(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [argument.arg for argument in node.args.args if argument.arg not in {"self", "cls"}]
    if isinstance(node, ast.ClassDef):
        fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
        return [target.id for target in fields if isinstance(target, ast.Name)]
    return []


def is_literal(node: ast.AST) -> bool:
    """Whether the expression may be a text written here; an empty one stands for no reason."""
    match node:
        case ast.Constant(value=str() as text):
            return bool(text)
        case ast.JoinedStr() | ast.BinOp():
            return True
        case ast.IfExp(body=body, orelse=other):
            return is_literal(body) or is_literal(other)
        case ast.BoolOp(values=values):
            return any(map(is_literal, values))
    return False


def given_reasons(node: ast.AST, positions: Mapping[str, set[int]]) -> Iterator[ast.expr]:
    """The expressions that this node passes, assigns, returns or compares as a reason."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args, keywords=keywords):
            yield from (args[at] for at in positions.get(name, ()) if at < len(args))
            yield from (keyword.value for keyword in keywords if keyword.arg in NAMES)
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in NAMES:
            yield value
        case ast.Dict(keys=keys, values=values):
            named = zip(keys, values, strict=True)
            yield from (value for key, value in named if isinstance(key, ast.Constant) and key.value in NAMES)
        case ast.Compare(left=ast.Attribute(attr=name), comparators=others) if name in NAMES:
            yield from others


def bare(name: str, tree: ast.Module, positions: Mapping[str, set[int]]) -> Iterator[str]:
    """Reasons and condition types that are written as text."""
    meant_otherwise = STATES | KEY_STATES | OTHER_MEANINGS.get(name, set())
    for node in ast.walk(tree):
        reasons = given_reasons(node, positions) if name not in FOREIGN_REASONS else ()
        yield from (f"{name}:{given.lineno}: {ast.unparse(given)}" for given in reasons if is_literal(given))
        if isinstance(node, ast.Constant) and node.value in WORDS - meant_otherwise:
            yield f"{name}:{node.lineno}: {node.value!r}"


def used(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """The members that the code names, by enum."""
    found: dict[str, set[str]] = {name: set() for name in ENUMS}
    for tree in trees.values():
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id=enum), attr=member) if enum in ENUMS and member.isupper():
                    found[enum].add(member)
    return found


def unlisted(trees: Mapping[str, ast.Module]) -> set[str]:
    return {f"{enum}.{name}" for enum, names in used(trees).items() for name in names - set(ENUMS[enum].__members__)}


def unused(trees: Mapping[str, ast.Module]) -> set[str]:
    return {f"{enum}.{name}" for enum, names in used(trees).items() for name in set(ENUMS[enum].__members__) - names}


def test_no_reason_and_no_condition_type_is_written_as_text() -> None:
    trees = modules()
    positions = reason_positions(trees)
    assert [found for name, tree in trees.items() for found in bare(name, tree, positions)] == []


def test_what_is_in_use_is_listed_and_what_is_listed_is_in_use() -> None:
    trees = modules()
    assert unlisted(trees) == set()
    assert unused(trees) == set()


def test_what_the_gate_says_is_listed() -> None:
    gate = SOURCES.parents[1] / "gate" / "src"
    for path in set(gate.rglob("*.rs")) - {gate / "ffi" / "fake.rs"}:
        text = path.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
        assert set(re.findall(r'"((?:[A-Z][a-z]+){2,})"', text)) <= set(Reason), path


@pytest.mark.parametrize(
    "code",
    [
        'false("BrandNew", "message")',
        'false(f"Certificate{x}", "message")',
        'conditions.true("BrandNew", "message")',
        'Verdict("False", "One" if x else "Other", "message")',
        'Rejection(reason="BrandNew", message="message")',
        'replace(document, denied="BrandNew")',
        'self._fail(served, "BrandNew", "message")',
        'reason = x or "BrandNew"',
        'body = {"reason": "BrandNew"}',
        'known = failure.reason == "BrandNew"',
        'verdicts = (("EndpointsGranted", verdict),)',
        'TIMED_OUT = "WakeTimeout"',
    ],
)
def test_a_reason_written_as_text_is_found(code: str) -> None:
    assert list(bare("planning/new.py", ast.parse(code), reason_positions(modules())))


@pytest.mark.parametrize(
    "code",
    [
        'false(Reason.INVALID, "message")',
        'Verdict("False", failure.reason, failure.message)',
        'Replicas(reason=failure.reason if failure else "")',
        'state = "Asleep"',
    ],
)
def test_a_reason_from_the_list_or_from_a_report_is_fine(code: str) -> None:
    assert list(bare("planning/new.py", ast.parse(code), reason_positions(modules()))) == []


def test_a_member_that_is_not_listed_or_not_used_is_found() -> None:
    trees = {"planning/new.py": ast.parse("false(Reason.BRAND_NEW, message)")}
    assert unlisted(trees) == {"Reason.BRAND_NEW"}
    assert "Reason.INVALID" in unused(trees)


def test_every_word_is_camel_case_and_every_explanation_a_sentence() -> None:
    for enum in ENUMS.values():
        for member in enum:
            assert re.fullmatch(r"(?:[A-Z]+[a-z]*)+", member), member
            assert re.fullmatch(r"[A-Z`].+\.", member.explanation), member  # type: ignore[attr-defined]


def test_every_topic_has_reasons_and_every_state_is_one() -> None:
    assert {reason.topic for reason in Reason} == set(Topic)
    assert set(Reason) >= STATES
