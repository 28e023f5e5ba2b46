"""What docs/how-to/a-key-leaked.md gives to secret scanners finds every key that we mint, and nothing that is none."""

import base64
import random
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from nightlatch.api_keys import mint

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "a-key-leaked.md").read_text()
_DICE = random.Random(11)  # noqa: S311 - the same keys in each run
KEYS = [mint(_DICE.randbytes).text for _ in range(500)]
AROUND = (
    "{}",
    "API_KEY={}\n",
    '"api-key": "{}",',
    "Authorization: Bearer {}",
    "https://x/v2?key={}&a=b",
    "({})",
    "{}\r\n",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def patterns() -> dict[str, str]:
    (plain,) = blocks("text")
    (gitleaks,) = blocks("toml")
    (trufflehog,) = blocks("yaml")
    return {
        "plain": plain.strip(),
        "gitleaks": tomllib.loads(gitleaks)["rules"][0]["regex"],
        "trufflehog": yaml.safe_load(trufflehog)["detectors"][0]["regex"]["key"],
    }


@pytest.mark.parametrize("scanner", patterns())
def test_a_pattern_finds_every_minted_key_wherever_it_stands(scanner: str):
    pattern = patterns()[scanner]
    for key in KEYS:
        for text in AROUND:
            assert re.findall(pattern, text.format(key)) == [key]


@pytest.mark.parametrize("scanner", patterns())
def test_a_pattern_finds_nothing_else(scanner: str):
    pattern, key = patterns()[scanner], KEYS[0]
    others = (
        key[:-1],
        key + "x",
        "x" + key,
        key.replace("_", "-"),
        key[:20],
        key.upper(),
        "nl_short",
        "xnl_" + key[3:],
    )
    assert [text for text in others if re.search(pattern, text)] == []


def test_the_keywords_of_the_scanners_are_in_every_key():
    keywords = tomllib.loads(blocks("toml")[0])["rules"][0]["keywords"]
    assert yaml.safe_load(blocks("yaml")[0])["detectors"][0]["keywords"] == keywords
    assert all(keyword in key for keyword in keywords for key in KEYS)


def test_the_documented_check_tells_a_key_from_a_typo():
    defined: dict[str, object] = {}
    (code,) = blocks("python")
    exec(code, defined)  # noqa: S102 - our own page
    is_a_key = defined["is_a_key"]
    assert all(is_a_key(key) for key in KEYS)
    for key in KEYS:
        place = _DICE.choice([place for place, letter in enumerate(key) if letter != "_" and place > 2])
        letter = _DICE.choice([each for each in "0Az9" if each != key[place]])
        assert not is_a_key(key[:place] + letter + key[place + 1 :])
    assert not is_a_key("nl_short")


def test_a_key_in_base64_begins_as_the_page_says():
    assert all(base64.b64encode(key.encode()).startswith(b"bmxf") for key in KEYS)
    assert "`bmxf`" in PAGE
