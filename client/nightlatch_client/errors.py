"""What callers may have to handle. No text here has a token, a secret or a key in it."""


class TokenError(Exception):
    """There is no token, and the text says why."""


class GrantRefusedError(TokenError):
    """The provider refuses to give a token: the grant was revoked, the client is unknown, its secret is wrong.

    error: the code of RFC 6749, such as `invalid_grant`. description: the provider's own words, may be empty.
    """

    def __init__(self, issuer: str, error: str, description: str = "") -> None:
        super().__init__(f"{issuer} refuses a token: {error}" + (f": {description}" if description else ""))
        self.issuer = issuer
        self.error = error
        self.description = description


class ProviderUnavailableError(TokenError):
    """The provider does not answer, or not with an answer of OAuth 2.0. Trying again later may help."""


class ProviderMismatchError(TokenError):
    """What was found at the issuer's address is not this issuer's, or sends secrets to an address without TLS."""


class InsecureUrlError(TokenError):
    """A token would be sent without TLS to another machine."""


class LoginNeededError(TokenError):
    """A person has to log in, for the first time or again."""
