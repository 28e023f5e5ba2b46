"""Authentication for httpx, and how a refused call is repeated, which all clients share."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx

from nightlatch_client.metadata import origin
from nightlatch_client.state import Token
from nightlatch_client.tokens import Tokens


class Presenting:
    """A call with a token. It is repeated once with another token, and once with another proof, but never more."""

    not_read: type[Exception] = httpx.RequestNotRead

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Yields requests to send; httpx hands their answers back."""
        token, left = self._tokens.token(), {"proof", "token"}
        while True:
            response = yield self._with(request, token)
            why = self._why_again(request, response, token)
            if why not in left:
                return
            left.remove(why)
            found = self._tokens.another(token) if why == "token" else token
            if found is None:
                return
            token = found

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """The same for asyncio."""
        token, left = await self._tokens.token_async(), {"proof", "token"}
        while True:
            response = yield self._with(request, token)
            why = self._why_again(request, response, token)
            if why not in left:
                return
            left.remove(why)
            found = await self._tokens.another_async(token) if why == "token" else token
            if found is None:
                return
            token = found

    def _with(self, request: Any, token: Token) -> Any:
        request.headers.update(self._tokens.headers(token, request.method, str(request.url)))
        return request

    def _why_again(self, request: Any, response: Any, token: Token) -> str:
        answerer = str(response.url)
        if origin(answerer) != origin(str(request.url)):
            # Another host, to which httpx has followed a redirect without the token.
            return ""
        news = self._tokens.learn(answerer, response.headers)
        if response.status_code != 401 or not self._is_whole(request):
            return ""
        if self._tokens.deserves_proof(token, response.headers.get("www-authenticate", ""), news=news):
            return "proof"
        return "token" if self._tokens.worth_replacing(token) else ""

    def _is_whole(self, request: Any) -> bool:
        """Whether the body is still there: one that is made while it is sent cannot be sent again."""
        try:
            _ = request.content
        except self.not_read:
            return False
        return True


class HttpxAuth(Presenting, httpx.Auth):
    """`httpx.Client(auth=HttpxAuth(tokens))`, also for AsyncClient."""
