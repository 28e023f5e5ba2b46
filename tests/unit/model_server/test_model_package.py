"""A model package is used only if it is whole, is the expected one, and can't run code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nightlatch_server.model_package.manifest import PackageError
from nightlatch_server.model_package.reader import read_manifest, read_package, verify
from nightlatch_server.model_package.writer import write_package
from tests.unit.model_server import tiny_model


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny_model.write(tmp_path / "source")


@pytest.fixture
def package(source: Path, tmp_path: Path) -> Path:
    write_package(source, tmp_path / "package", name="tiny")
    return tmp_path / "package"


def edit_manifest(package: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = package / "model.json"
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))


def rename_file(value: dict[str, Any], name: str) -> None:
    value["files"][name] = value["files"].pop("model.safetensors")


def test_the_same_source_gives_the_same_digest(source: Path, tmp_path: Path) -> None:
    first = write_package(source, tmp_path / "a", name="tiny")
    assert first == write_package(source, tmp_path / "b", name="tiny") == verify(tmp_path / "a", first)
    assert first.startswith("sha256:")
    assert len(first) == 71


def test_another_version_is_another_digest(source: Path, tmp_path: Path) -> None:
    first = write_package(source, tmp_path / "a", name="tiny")
    assert first != write_package(source, tmp_path / "a", name="tiny", version="2")
    assert read_manifest(tmp_path / "a")[0].version == "2"


def test_a_package_is_made_in_place_named_after_its_directory(source: Path) -> None:
    digest = write_package(source)
    assert read_manifest(source)[0].name == "source"
    assert verify(source, digest) == digest


def test_a_package_holds_only_what_serving_needs(package: Path) -> None:
    assert sorted(path.name for path in package.iterdir()) == ["model.json", "model.safetensors", "tokenizer.json"]


def test_the_bytes_read_are_the_bytes_on_disk(package: Path) -> None:
    files = read_package(package).files
    assert {name: bytes(data) for name, data in files.items()} == {
        name: (package / name).read_bytes() for name in ("model.safetensors", "tokenizer.json")
    }


def test_pooling_length_and_normalisation_come_from_sentence_transformers_files(source: Path, tmp_path: Path) -> None:
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}'
    )
    (source / "sentence_bert_config.json").write_text('{"max_seq_length": 24}')
    (source / "modules.json").write_text(
        '[{"type": "sentence_transformers.models.Transformer"}, {"type": "x.Pooling"}]'
    )
    write_package(source, tmp_path / "package")
    config = read_manifest(tmp_path / "package")[0].config
    assert (config["pooling"], config["max_tokens"], config["normalize"]) == ("cls", 24, False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda s: (s / "config.json").write_text(json.dumps({**tiny_model.CONFIG, "model_type": "llama"})),
            "BERT family",
        ),
        (lambda s: (s / "config.json").write_text('{"model_type": "bert"}'), "lacks hidden_size"),
        (lambda s: (s / "config.json").write_text("{"), "cannot read"),
        (lambda s: (s / "config.json").unlink(), "has no config.json"),
        (lambda s: (s / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda s: (s / "model.safetensors").unlink(), "safe_serialization=True"),
        (lambda s: (s / "modules.json").write_text('[{"type": "models.Dense"}]'), "'Dense'"),
        (lambda s: (s / "pytorch_model.bin").write_bytes(b""), r"pytorch_model.bin.*can run code"),
    ],
)
def test_a_source_that_cant_be_packaged_is_refused_with_the_reason(
    source: Path, change: Callable[[Path], object], says: str
) -> None:
    change(source)
    with pytest.raises(PackageError, match=says):
        write_package(source)
    assert not (source / "model.json").exists()


def test_a_directory_with_other_things_in_it_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with pytest.raises(PackageError, match="neither empty nor a model package"):
        write_package(source, tmp_path / "home")


def test_an_unexpected_digest_is_refused_before_any_file_is_opened(package: Path) -> None:
    (package / "model.safetensors").unlink()
    with pytest.raises(PackageError, match=r"has digest sha256:.*expected sha256:0000"):
        verify(package, "sha256:" + "0" * 64)


def test_one_changed_bit_in_the_weights_is_refused(package: Path) -> None:
    weights = bytearray((package / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (package / "model.safetensors").write_bytes(weights)
    for check in (verify, read_package):
        with pytest.raises(PackageError, match=r"model\.safetensors has SHA-256"):
            check(package)


def test_a_file_cut_short_is_refused(package: Path) -> None:
    os.truncate(package / "model.safetensors", 100)
    with pytest.raises(PackageError, match=r"has 100 bytes, but model\.json says"):
        verify(package)


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/passwd",
        "..",
        "sub/model.safetensors",
        "a\\b.safetensors",
        ".hidden.safetensors",
        "x\0.safetensors",
        "",
    ],
)
def test_a_name_that_could_leave_the_directory_is_refused(package: Path, name: str) -> None:
    edit_manifest(package, lambda value: rename_file(value, name))
    with pytest.raises(PackageError, match="plain names of files"):
        verify(package)


@pytest.mark.parametrize(
    "name", ["model.bin", "model.pt", "model.pkl", "model.pt2", "lib.so", "code.py", "model.safetensors.py"]
)
def test_a_manifest_that_names_a_format_that_runs_code_is_refused(package: Path, name: str) -> None:
    edit_manifest(package, lambda value: rename_file(value, name))
    with pytest.raises(PackageError, match=r"\*\.safetensors and tokenizer\.json only"):
        verify(package)


@pytest.mark.parametrize("name", ["model.pt", "PYTORCH_MODEL.BIN", "sub/weights.pkl", "archive.pt2", "x.jit"])
def test_a_file_that_can_run_code_is_refused_even_if_unused(package: Path, name: str) -> None:
    (package / name).parent.mkdir(exist_ok=True)
    (package / name).touch()
    for check in (verify, read_package):
        with pytest.raises(PackageError, match=r"can run code when loaded.*convert the weights"):
            check(package)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_a_symbolic_link_is_refused_wherever_it_points(package: Path, tmp_path: Path, name: str) -> None:
    (package / name).rename(tmp_path / "outside")
    (package / name).symlink_to(tmp_path / "outside")
    with pytest.raises(PackageError, match=r"symbolic link.*cp -L"):
        verify(package)


def test_a_fifo_does_not_hang_the_reader(package: Path) -> None:
    (package / "tokenizer.json").unlink()
    os.mkfifo(package / "tokenizer.json")
    with pytest.raises(PackageError, match="not a regular file"):
        verify(package)


def test_a_missing_package_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"no model package in .*give a directory with model\.json"):
        verify(tmp_path / "nothing")
    with pytest.raises(PackageError, match=r"model\.json: cannot be read.*nightlatch package DIR"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v.update(schema="v0"), '"schema"'),
        (lambda v: v.update(name="../x"), "'name' must be"),
        (lambda v: v.update(version=1), "'version' must be"),
        (lambda v: v.update(files={}), "'files' is empty"),
        (lambda v: v.update(files=[]), "'files' must be an object"),
        (lambda v: v["files"]["tokenizer.json"].update(sha256="0"), "64 lower-case hex"),
        (lambda v: v["files"]["tokenizer.json"].update(size=-1), "number of bytes"),
        (lambda v: v["files"]["tokenizer.json"].update(size=True), "number of bytes"),
        (lambda v: v.update(inputs=[]), "list of tensors"),
        (lambda v: v["inputs"][0].update(datatype="PICKLE"), "datatype"),
        (lambda v: v["inputs"][0].update(shape=[-2]), "list of sizes"),
        (lambda v: v["inputs"].append(v["inputs"][0]), "occurs twice"),
        (lambda v: v.update(batching={"max_cost": 0}), "max_cost"),
    ],
)
def test_a_malformed_manifest_is_refused_with_the_field(
    package: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    edit_manifest(package, change)
    with pytest.raises(PackageError, match=says):
        read_manifest(package)


def test_a_huge_manifest_is_not_read(package: Path) -> None:
    os.truncate(package / "model.json", 2 << 20)
    with pytest.raises(PackageError, match="1048576 at most"):
        read_manifest(package)


def test_packages_are_handled_without_torch() -> None:
    code = "import sys, nightlatch_server.model_package.writer; sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
