"""The manifests in our docs and examples: whole files, and the YAML blocks of Markdown pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from nightlatch.api.meta import GROUP, RawObject
from nightlatch.store.files.yaml_loader import TimestampsAsText

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```ya?ml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


class _Loader(TimestampsAsText, yaml.SafeLoader):
    pass


@dataclass(frozen=True)
class Manifest:
    """An object, and where it is written."""

    place: str
    object: RawObject

    @property
    def ours(self) -> bool:
        """True if it is of one of our kinds."""
        return self.object["apiVersion"].startswith(f"{GROUP}/")


def manifests() -> list[Manifest]:
    """Every whole object. A block that shows a part of one, or Helm values, has no apiVersion and is left out."""
    return [
        Manifest(place, document)
        for place, text in _texts()
        for document in yaml.load_all(text, Loader=_Loader)
        if isinstance(document, dict) and "apiVersion" in document
    ]


def _texts() -> Iterator[tuple[str, str]]:
    for path in sorted((ROOT / "examples").rglob("*.yaml")):
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            indent = re.compile(f"^{block[1]}", re.MULTILINE)
            yield f"{path.relative_to(ROOT)}:{line}", indent.sub("", block[2])


def fragments() -> list[Manifest]:
    """Blocks that show a part of an object: `spec` and `metadata` without a kind."""
    return [
        Manifest(place, document)
        for place, text in _texts()
        for document in yaml.load_all(text, Loader=_Loader)
        if isinstance(document, dict) and "spec" in document and document.keys() <= {"metadata", "spec"}
    ]
