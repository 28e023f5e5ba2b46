"""Authentication for requests. Needs the extra `requests`."""

from typing import Any

import requests
from requests.auth import AuthBase

from nightlatch_client.state import Token
from nightlatch_client.tokens import Tokens


class RequestsAuth(AuthBase):
    """`requests.Session().auth = RequestsAuth(tokens)`. A refused call is repeated as by HttpxAuth."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._present(request, self._tokens.token())

        def answered(response: requests.Response, **options: Any) -> requests.Response:
            return self._answered(response, token, options)

        request.register_hook("response", answered)
        return request

    def _answered(self, response: requests.Response, token: Token, options: dict[str, Any]) -> requests.Response:
        left = {"proof", "token"}
        while True:
            why = self._why_again(response, token)
            if why not in left:
                return response
            left.remove(why)
            found = self._tokens.another(token) if why == "token" else token
            if found is None:
                return response
            token = found
            response = self._again(response, token, options)

    def _again(self, response: requests.Response, token: Token, options: dict[str, Any]) -> requests.Response:
        _ = response.content  # so that its connection is free
        response.close()
        request = response.request.copy()
        self._present(request, token)
        sender: Any = response.connection
        answer: requests.Response = sender.send(request, **options)
        answer.history.append(response)
        answer.request = request
        return answer

    def _why_again(self, response: requests.Response, token: Token) -> str:
        request = response.request
        shown = request.headers.get("Authorization")
        if shown != f"{token.kind} {token.value}" or request.url is None:
            # Another host, to which requests has followed a redirect without the token.
            return ""
        news = self._tokens.learn(request.url, response.headers)
        # A body that is a file or a generator was read while it was sent.
        if response.status_code != 401 or not (request.body is None or isinstance(request.body, bytes | str)):
            return ""
        if self._tokens.deserves_proof(token, response.headers.get("www-authenticate", ""), news=news):
            return "proof"
        return "token" if self._tokens.worth_replacing(token) else ""

    def _present(self, request: requests.PreparedRequest, token: Token) -> Token:
        request.headers.update(self._tokens.headers(token, request.method or "GET", request.url or ""))
        return token
