"""Asks the API server for the keys with which it signs ServiceAccount tokens, and for what it calls itself."""

import re
from dataclasses import dataclass

from nightlatch.api.conditions import Reason
from nightlatch.controller.issuer_keys.provider import LARGEST, ProviderError
from nightlatch.kube.client import JSON, ApiServer
from nightlatch.kube.errors import TOO_LARGE, ApiServerError
from nightlatch.pki.key_set import KeySetError, read_json
from nightlatch.planning.issuer.key_source import KeySource, Published

# The API server's own path, whatever its discovery document says: its `jwks_uri` may be for callers outside.
JWKS_PATH = "/openid/v1/jwks"
# The type that the API server gives the set, and no other is acceptable to it.
_JWKS = "application/jwk-set+json"
_DISCOVERY = "the discovery document of the API server"
_ISSUER = re.compile(r"https://[!-~]{1,2040}")


@dataclass(frozen=True, slots=True)
class ServiceAccountKeys:
    """A connection with the rights of the ClusterRole `system:service-account-issuer-discovery`."""

    api: ApiServer

    async def fetch(self, source: KeySource) -> Published:
        """Raises ProviderError."""
        issuer = _issuer(await self._read(source.url, JSON))
        if source.issuer is not None and source.issuer != issuer:
            message = f"the cluster calls itself {issuer}: write that as spec.issuer, or leave spec.issuer out"
            raise ProviderError(Reason.ISSUER_MISMATCH, message)
        return Published(await self._read(JWKS_PATH, f"{_JWKS}, {JSON}"), issuer)

    async def _read(self, path: str, accept: str) -> bytes:
        try:
            return await self.api.read(path, accept=accept, largest=LARGEST)
        except ApiServerError as error:
            raise _refusal(path, error) from None


def _issuer(document: bytes) -> str:
    try:
        issuer = read_json(document, _DISCOVERY).get("issuer")
    except KeySetError as error:
        raise ProviderError(error.reason, str(error)) from None
    if not isinstance(issuer, str) or not _ISSUER.fullmatch(issuer):
        message = f"{_DISCOVERY} names no issuer that starts with https://: set --service-account-issuer of the cluster"
        raise ProviderError(Reason.ANSWER_REFUSED, message)
    return issuer


def _refusal(path: str, error: ApiServerError) -> ProviderError:
    if error.code in {401, 403}:
        message = (
            f"the operator may not read {path} of the API server: bind its ServiceAccount to the ClusterRole"
            " system:service-account-issuer-discovery"
        )
        return ProviderError(Reason.CLUSTER_KEYS_FORBIDDEN, message)
    if error.code == 404:
        message = f"the API server has no {path}: set --service-account-issuer of the cluster to a URL of https"
        return ProviderError(Reason.PROVIDER_UNREACHABLE, message)
    if error.reason == TOO_LARGE:
        return ProviderError(Reason.ANSWER_REFUSED, f"the answer of the API server to {path} is too large")
    answered = f"answered {error.code}" if error.code else "did not answer"
    message = f"the API server {answered} to {path}: it is asked again"
    return ProviderError(Reason.PROVIDER_UNREACHABLE, message)
