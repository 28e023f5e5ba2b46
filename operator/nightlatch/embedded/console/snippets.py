"""Snippets that make the first call when pasted into a terminal or a program. Pure."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """How a client reaches an endpoint. `url` is `https://NAME.NAMESPACE.localhost:PORT`; `files` has the credentials
    and the CA. key, certificate: which credentials."""

    url: str
    model: str
    files: Path
    key: bool = True
    certificate: bool = False

    @property
    def host(self) -> str:
        """Host and port of the URL."""
        return self.url.removeprefix("https://").rstrip("/")


def curl(access: Access) -> str:
    """A curl command. It has `--resolve` because not every system resolves names under localhost."""
    key = f"""  -H "Authorization: Bearer $(cat {access.files}/api-key)" \\\n""" if access.key else ""
    shown = f" --cert {access.files}/tls.crt --key {access.files}/tls.key" if access.certificate else ""
    return f"""curl --resolve {access.host}:127.0.0.1 --cacert {access.files}/ca.crt{shown} \\
{key}\
  -H 'Content-Type: application/json' \\
  -d '{{"model": "{access.model}", "input": "The cat sleeps on the sofa."}}' \\
  {access.url}/v1/embeddings"""


def openai(access: Access) -> str:
    """A Python program that uses the openai package."""
    return f"""import pathlib, ssl
import httpx, openai

files = pathlib.Path({str(access.files)!r})

class Loopback(httpx.HTTPTransport):  # not every system resolves names under localhost
    def handle_request(self, request):
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host="127.0.0.1")
        return super().handle_request(request)

client = openai.OpenAI(
    base_url={access.url + "/v1"!r},
    api_key=(files / "api-key").read_text().strip(),
    http_client=httpx.Client(
        transport=Loopback(verify=ssl.create_default_context(cafile=files / "ca.crt")), timeout=60
    ),
)
answer = client.embeddings.create(model={access.model!r}, input=["The cat sleeps on the sofa."])
print(len(answer.data[0].embedding), "numbers")
"""
