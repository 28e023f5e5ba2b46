"""What a login keeps: in a file of its owner alone, renewed by one process for all."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nightlatch_client import Client, GrantRefusedError, LoginNeededError, TokenError, Tokens, tokens_of_login
from nightlatch_client.answers import Granted
from nightlatch_client.logged_in import LoggedIn, client_of, new
from nightlatch_client.logins import Login, Logins, folder
from nightlatch_client.signing import SigningKey
from nightlatch_client.state import Token
from tests.unit.client.stand_in_provider import ISSUER, Clock, StandIn, claims_of, refusal

DESCRIBED = {"issuer": ISSUER, "client_id": "laptop", "scope": "ml:infer"}


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(tmp_path / "state" / "logins")


def keep(logins: Logins, clock: Clock, *, refresh: str | None = "r-0", key=None, name: str = "default") -> Login:
    token = Token("kept", "DPoP" if key else "Bearer", clock.now(), 300.0)
    login = new(DESCRIBED, Granted(token, refresh), key)
    logins.write(name, login)
    return login


def opened(logins: Logins, provider: StandIn) -> Tokens:
    around = provider.clock.surroundings
    return Tokens(LoggedIn(logins, surroundings=around, over=provider.transport), surroundings=around)


def rotating(provider: StandIn) -> None:
    """Each refresh token is good for one use."""
    good = {"r-0"}

    def answer(form, _):
        if form["refresh_token"] not in good:
            return refusal("invalid_grant", "Token is not active")
        good.clear()
        good.add(f"r-{len(provider.asked)}")
        return provider.granted(refresh_token=f"r-{len(provider.asked)}")

    provider.answer = answer


def test_a_login_is_read_as_it_was_written_and_nobody_else_can(logins) -> None:
    written = keep(logins, Clock(), key=SigningKey.generate())
    assert logins.read("default") == written
    assert logins.read("other") is None
    assert logins.path("default").stat().st_mode & 0o777 == 0o600
    assert logins.folder.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in logins.folder.iterdir()] == ["default.json"]
    assert "kept" not in repr(written)
    assert "r-0" not in repr(written)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(logins, mode: int) -> None:
    keep(logins, Clock())
    logins.path("default").chmod(mode)
    with pytest.raises(TokenError, match="others can read"):
        logins.read("default")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(logins) -> None:
    keep(logins, Clock())
    os.chown(logins.path("default"), 65534, -1)
    with pytest.raises(TokenError, match="others can read"):
        logins.read("default")


def test_a_link_is_not_followed(logins, tmp_path) -> None:
    keep(logins, Clock())
    logins.path("other").symlink_to(logins.path("default"))
    with pytest.raises(TokenError, match="cannot read"):
        logins.read("other")


def test_a_folder_that_others_write_to_is_refused(logins) -> None:
    logins.folder.mkdir(parents=True)
    logins.folder.chmod(0o777)
    with pytest.raises(TokenError, match="chmod 700"):
        keep(logins, Clock())


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "x" * 65, "a\n"])
def test_a_name_is_no_path(logins, name: str) -> None:
    with pytest.raises(TokenError, match="not a name of a login"):
        logins.read(name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', "null"])
def test_a_broken_file_says_what_to_do(logins, text: str) -> None:
    keep(logins, Clock())
    logins.path("default").write_text(text)
    with pytest.raises(TokenError, match="log in again"):
        logins.read("default")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/x"}, "/state/nightlatch/logins"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/x"}, "/home/x/.local/state/nightlatch/logins"),
        ({"HOME": "/home/x"}, "/home/x/.local/state/nightlatch/logins"),
    ],
)
def test_where_logins_are(environment, expected) -> None:
    assert str(folder(environment)) == expected


def test_a_login_is_used_while_it_is_fresh_and_renewed_before_it_is_over(logins) -> None:
    provider = StandIn()
    rotating(provider)
    keep(logins, provider.clock)
    assert opened(logins, provider).renewed().value == "kept"
    assert provider.asked == []
    provider.clock.sleep(250)
    assert opened(logins, provider).renewed().value == "token-1"
    assert provider.asked[0]["grant_type"] == "refresh_token"
    kept = logins.read("default")
    assert (kept.access_token, kept.refresh_token) == ("token-1", "r-1")
    provider.clock.sleep(1000)
    assert opened(logins, provider).renewed().value == "token-2"


def test_a_provider_that_keeps_its_refresh_token_is_fine(logins) -> None:
    provider = StandIn()
    keep(logins, provider.clock)
    provider.clock.sleep(400)
    assert opened(logins, provider)() == "token-1"
    assert logins.read("default").refresh_token == "r-0"


def test_many_processes_renew_once(logins) -> None:
    provider = StandIn()
    rotating(provider)
    keep(logins, provider.clock)
    provider.clock.sleep(400)
    users = [opened(logins, provider) for _ in range(10)]
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda each: each(), users)) == {"token-1"}
    assert len(provider.asked) == 1


def test_a_provider_that_is_down_is_not_noticed_while_the_token_lives(logins) -> None:
    provider = StandIn(down=True)
    keep(logins, provider.clock)
    provider.clock.sleep(280)
    assert opened(logins, provider).renewed().value == "kept"


def test_a_revoked_login_shows_as_itself_and_says_what_to_do(logins) -> None:
    provider = StandIn(answer=lambda *_: refusal("invalid_grant", "Session not active"))
    keep(logins, provider.clock)
    provider.clock.sleep(400)
    with pytest.raises(GrantRefusedError, match=r"invalid_grant: Session not active .*log in again"):
        opened(logins, provider)()


def test_without_a_refresh_token_a_login_ends_with_its_token(logins) -> None:
    provider = StandIn()
    keep(logins, provider.clock, refresh=None)
    assert opened(logins, provider)() == "kept"
    provider.clock.sleep(400)
    with pytest.raises(LoginNeededError, match="gave no refresh token"):
        opened(logins, provider)()
    assert provider.asked == []


def test_nobody_has_logged_in(tmp_path) -> None:
    with pytest.raises(LoginNeededError, match="nightlatch token login --login work"):
        tokens_of_login("work", {"XDG_STATE_HOME": str(tmp_path)})


def test_whoever_logs_out_ends_the_tokens_of_running_programs(logins) -> None:
    provider = StandIn()
    keep(logins, provider.clock)
    tokens = opened(logins, provider)
    tokens()
    logins.remove("default")
    provider.clock.sleep(400)
    with pytest.raises(LoginNeededError, match="logged out"):
        tokens()


def test_a_login_that_is_bound_to_a_key_keeps_its_key(logins) -> None:
    provider = StandIn(kind="DPoP")
    key = SigningKey.generate()
    keep(logins, provider.clock, key=key)
    provider.clock.sleep(400)
    assert opened(logins, provider).token().kind == "DPoP"
    proof, _ = claims_of(provider.requests[-1].headers["DPoP"])
    assert proof["jwk"] == key.public


def test_a_client_is_made_of_words(tmp_path, monkeypatch) -> None:
    assert client_of({**DESCRIBED, "ca": "/ca.crt"}) == Client(ISSUER, "laptop", scope="ml:infer", ca=Path("/ca.crt"))
    monkeypatch.setenv("THE_SECRET", "s")
    for method in ("client_secret_basic", "client_secret_post"):
        made = client_of({**DESCRIBED, "method": method, "secret_variable": "THE_SECRET"})
        assert made.authentication.method == method
    for words in ({"method": "other"}, {"method": "client_secret_post"}, {"method": "private_key_jwt"}, {"x": 1}):
        with pytest.raises(TokenError):
            client_of({**DESCRIBED, **words})
