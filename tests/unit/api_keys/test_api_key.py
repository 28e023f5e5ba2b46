"""API keys: their form, their checksum, and that nothing shows the secret."""

import secrets
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightlatch import api_keys
from nightlatch.api_keys import base62

ZEROS = "nl_000000000000_0000000000000000000000000000000000000000000_3ESigE"


def zeros(size: int) -> bytes:
    return bytes(size)


def test_a_minted_key_is_read_back_with_its_id_and_digest():
    key = api_keys.mint(secrets.token_bytes)
    parsed = api_keys.parse(key.text)
    assert (parsed.key_id, parsed.sha256) == (key.key_id, api_keys.digest(key.text))
    assert len(key.text) == 66


def test_the_form_is_fixed_so_that_the_gateway_can_check_it():
    assert api_keys.mint(zeros).text == ZEROS


@given(st.binary(min_size=32, max_size=32))
def test_the_checksum_is_crc32_of_all_before_the_last_underscore_in_base62(seed):
    body, _, checksum = api_keys.mint(lambda size: seed[:size]).text.rpartition("_")
    number = 0
    for digit in checksum:
        number = number * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(digit)
    assert number == zlib.crc32(body.encode())


@given(st.integers(min_value=0, max_value=65), st.sampled_from(base62.ALPHABET))
def test_one_changed_character_is_refused(position, digit):
    changed = ZEROS[:position] + digit + ZEROS[position + 1 :]
    if changed != ZEROS:
        with pytest.raises(api_keys.MalformedKeyError):
            api_keys.parse(changed)


@pytest.mark.parametrize("text", ["", " ", ZEROS + "\n", ZEROS[:-1], ZEROS.upper(), "nl_" + "é" * 63, ZEROS * 2])
def test_what_is_no_key_is_refused_without_repeating_it(text):
    with pytest.raises(api_keys.MalformedKeyError) as refused:
        api_keys.parse(text)
    assert text.strip() == "" or text not in str(refused.value)


def test_the_text_stays_out_of_repr():
    key = api_keys.mint(secrets.token_bytes)
    assert key.text not in repr(key)


def test_only_the_same_text_has_the_same_digest():
    one, other = api_keys.mint(secrets.token_bytes), api_keys.mint(secrets.token_bytes)
    assert api_keys.digest(str(one.text)) == api_keys.digest(one.text)
    assert api_keys.digest(one.text) != api_keys.digest(other.text)


@pytest.mark.parametrize(("number", "width"), [(-1, 3), (62**3, 3)])
def test_a_number_that_does_not_fit_is_refused(number, width):
    with pytest.raises(ValueError, match="does not fit"):
        base62.encode(number, width)
