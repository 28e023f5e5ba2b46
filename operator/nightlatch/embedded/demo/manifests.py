"""The manifests that the demo applies."""

from pathlib import Path

_ENDPOINT = """\
apiVersion: nightlatch.dev/v1alpha1
kind: InferenceEndpoint
metadata:
  name: {name}
spec:
  model:
    source:
      path: {model}
  scaling:
    idleAfter: {idle_after}
  access:
    apiKey: {{}}
"""
_CLIENT = """\
apiVersion: nightlatch.dev/v1alpha1
kind: InferenceClient
metadata:
  name: {name}
spec:
  endpoints:
    - name: {endpoint}
  apiKey: {{}}
"""


def two_endpoints(model: Path, idle_after: str) -> str:
    """Two endpoints, each with one client."""
    return "---\n".join(
        [
            _ENDPOINT.format(name="minilm", model=model, idle_after=idle_after),
            _CLIENT.format(name="search-bot", endpoint="minilm"),
            _ENDPOINT.format(name="other", model=model, idle_after=idle_after),
            _CLIENT.format(name="other-bot", endpoint="other"),
        ]
    )


def broken(model: Path) -> str:
    """Two endpoints with one mistake each: a misspelt field, and a duration in the wrong form."""
    misspelt = _ENDPOINT.format(name="minilm", model=model, idle_after="5m").replace("scaling:", "scalling:")
    return f"{misspelt}---\n{_ENDPOINT.format(name='other', model=model, idle_after='5 minutes')}"
