"""Access tokens for callers: got from a provider, kept, and renewed before they expire (OAuth 2.0).

It decides when to ask the provider, what its answers mean, and whether a call that was answered 401 is worth repeating.
It speaks to the provider and, for logins, to one folder; it imports nothing of the operator. Start reading in `state`,
which decides when to ask, then `tokens`, which asks; `httpx_auth`, `requests_auth` and `openai_client` use it.
"""

from nightlatch_client.authentication import (
    Authentication,
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    PublicClient,
    TlsClientAuth,
)
from nightlatch_client.client import Client
from nightlatch_client.errors import (
    GrantRefusedError,
    InsecureUrlError,
    LoginNeededError,
    ProviderMismatchError,
    ProviderUnavailableError,
    TokenError,
)
from nightlatch_client.httpx_auth import HttpxAuth
from nightlatch_client.logged_in import tokens_of_login
from nightlatch_client.tokens import Tokens
from nightlatch_client.transport import Certificate

__version__ = "0.1.0"

__all__ = [
    "Authentication",
    "Certificate",
    "Client",
    "ClientSecretBasic",
    "ClientSecretPost",
    "GrantRefusedError",
    "HttpxAuth",
    "InsecureUrlError",
    "LoginNeededError",
    "PrivateKeyJwt",
    "ProviderMismatchError",
    "ProviderUnavailableError",
    "PublicClient",
    "TlsClientAuth",
    "TokenError",
    "Tokens",
    "tokens_of_login",
]
