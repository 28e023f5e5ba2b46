"""Every error that a caller can get is in wire/caller_errors.yaml, and everything in there is used."""

import ast
import re
from pathlib import Path

import pytest

from nightlatch.api.conditions import Reason
from nightlatch.generated_files import outdated
from nightlatch.reference.__main__ import rendered
from nightlatch.routing.xds import native_module
from nightlatch.wire import error_body
from nightlatch.wire.generate import generated, read_rows
from nightlatch_server import error_body as model_servers_error_body

ROOT = Path(__file__).parents[2]
GENERATED = {"caller_errors.py"}
PACKAGES = {"gateway": ROOT / "operator" / "nightlatch", "model-server": ROOT / "model-server" / "nightlatch_server"}
ROWS = read_rows()
# Codes that are also the name of a field.
FIELDS = {"request_timeout"}


def sources(package: Path) -> list[Path]:
    return [path for path in package.rglob("*.py") if path.name not in GENERATED and "reference" not in path.parts]


def used_in_python(package: Path) -> set[str]:
    """Codes of the rows that the package's modules name, as `caller_errors.CODE`."""
    found = (node for path in sources(package) for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    named = (node for node in found if isinstance(node, ast.Attribute))
    return {node.attr.lower() for node in named if ast.unparse(node.value) == "caller_errors"}


@pytest.mark.parametrize("by", PACKAGES)
def test_the_rows_of_each_part_are_those_that_its_code_uses(by):
    assert used_in_python(PACKAGES[by]) == {row.code for row in ROWS if by in row.by}


def rust() -> str:
    """The gate's sources, without their tests."""
    return "\n".join(path.read_text("utf-8").split("#[cfg(test)]")[0] for path in (ROOT / "gate" / "src").rglob("*.rs"))


def test_the_gate_is_given_the_errors_that_it_must_have():
    required = set(re.findall(r'"(\w+)"', rust().split("REQUIRED")[1].split("];")[0]))
    # The denials of a document are looked up by the code in the policy.
    assert set(native_module.errors()) == required | {"policy_invalid"}


def test_what_the_gate_is_given_is_what_the_table_says():
    rows = {row.code: row for row in ROWS}
    for name, entry in native_module.errors().items():
        row = rows[entry["code"]]
        assert (entry["status"], entry["message"]) == (row.status, row.details.get(name, row.sentence))
        assert name in {row.code, *row.details} or (name, row.code) == ("denied", "policy_invalid")


def reasons_of_failed_starts() -> set[str]:
    """The reasons with which a platform says that a replica did not start, in snake case."""
    modules = (PACKAGES["gateway"] / "workloads").rglob("*.py")
    found = {name for path in modules for name in re.findall(r"\bReason\.([A-Z_]+)", path.read_text("utf-8"))}
    return {Reason[name].name.lower() for name in found}


def test_every_reason_for_a_failed_start_has_a_sentence_for_callers():
    (wake_failed,) = (row for row in ROWS if row.code == "wake_failed")
    assert set(wake_failed.details) == reasons_of_failed_starts()
    assert not any("{" in text for text in (wake_failed.sentence, *wake_failed.details.values()))


def test_every_detail_is_used():
    python = "\n".join(path.read_text("utf-8") for package in PACKAGES.values() for path in sources(package))
    for row in ROWS:
        for name in set(row.details) - (reasons_of_failed_starts() if row.code == "wake_failed" else set()):
            assert f'say("{name}"' in python or name in native_module.errors(), f"{row.code}: {name}"


@pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES)
def test_no_code_and_no_sentence_is_written_down_elsewhere(package):
    sentences = {text for row in ROWS for text in (row.sentence, *row.details.values())}
    codes = {row.code for row in ROWS} - FIELDS
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in sentences | codes, f"{path.relative_to(ROOT)}:{node.lineno}"


def test_the_gate_writes_down_no_sentence_but_that_of_its_own_failure():
    sentences = {text for row in ROWS for text in (row.sentence, *row.details.values())}
    failed = next(row for row in ROWS if row.code == "request_failed")
    assert {each for each in sentences if each in rust()} == {failed.sentence}
    assert f'"code":"{failed.code}","message":"{failed.sentence}"' in rust()


def test_codes_are_snake_case_and_sentences_begin_with_a_capital_letter():
    for row in ROWS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", row.code)
        assert all(text[0].isupper() for text in (row.when, row.sentence, *row.details.values()))


def test_only_a_failed_wake_has_a_reason():
    assert {row.code for row in ROWS if row.reason} == {"wake_failed", "wake_timeout"}


def test_generated_files_are_in_step():
    assert outdated(generated(ROWS)) == ()
    assert outdated(rendered(ROOT / "docs" / "reference")) == ()


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v1/embeddings", "/", ""])
def test_gateway_and_model_server_answer_in_the_same_shape(path):
    error = error_body.CallerError("code", 400, 3, "invalid_request_error", "", {}, None, None)
    assert error_body.error_body(path, error, "Sentence.") == model_servers_error_body.error_body(
        path, error, "Sentence."
    )
