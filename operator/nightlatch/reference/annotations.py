"""`docs/reference/annotations.md`: the annotations and labels under nightlatch.dev, from the constants in the code."""

from collections.abc import Iterable

from nightlatch.api import names
from nightlatch.embedded.manifests.additions import ANNOTATION_ADDED
from nightlatch.embedded.manifests.documents import ANNOTATION_MANIFEST

_INTRODUCTION = f"""\
# Annotations and labels

Keys under `nightlatch.dev/`.

## Annotations that you write

Each asks the operator for something once. A new value asks again, for example the time:

```console
$ kubectl annotate --overwrite ic/NAME {names.ANNOTATION_ROTATE}="$(date -Is)"
$ kubectl annotate --overwrite configmap/{names.INSTALLATION_CONFIG_MAP} -n {names.DEFAULT_OPERATOR_NAMESPACE} \\
    {names.ANNOTATION_ROLLOVER}="$(date -Is)"
```
"""

_LABELS = """
## Labels that you write

The operator reads no other Secrets of yours than those with this label.
"""

_WRITTEN = """
## Annotations and labels that Nightlatch writes

Read them, but do not change them: they tie objects to their owners.
"""

USER_LABELS = {
    f"`{names.LABEL_USE}: {names.USE_TRUST}`": "The Secret's `ca.crt` holds CAs that an endpoint trusts for client "
    "certificates (`access.mtls.trust`).",
}
ANNOTATIONS = {
    names.ANNOTATION_OWNER: "The object that a Secret or ConfigMap was made for, as Kind/NAMESPACE/NAME.",
    names.ANNOTATION_RENEWED: "The value of `nightlatch.dev/renew` for which a certificate's Secret was issued, or "
    "cert-manager was asked for one.",
    names.ANNOTATION_REPLACED: "On a Certificate of cert-manager: the SHA-256 of the revoked certificate that it was "
    "asked to replace.",
    names.ANNOTATION_APPLIED: "A digest of what the operator asked for, which shows that a field is no longer wanted.",
    ANNOTATION_MANIFEST: "The file that declares the object. `nightlatch up` only.",
    ANNOTATION_ADDED: "What a verb of `nightlatch` added to an object of a manifest, whose edits keep it. "
    "`nightlatch up` only.",
}
LABELS = {
    names.LABEL_ROLE: "What a Secret or ConfigMap is for, such as `api-key` or `route-document`.",
    names.LABEL_ENDPOINT: "The InferenceEndpoint that an object or a pod belongs to.",
    names.LABEL_CLIENT: "The InferenceClient that a Secret belongs to.",
    names.LABEL_OWNER_UID: "The `metadata.uid` of the owner. An owner that is deleted and made again has another.",
}


def render() -> str:
    """The page as Markdown."""
    requests = ((f"`{each.annotation}`", each.put_on, each.effect) for each in names.REQUESTS)
    written = [
        *((f"`{key}`", "annotation", says) for key, says in ANNOTATIONS.items()),
        *((f"`{key}`", "label", says) for key, says in LABELS.items()),
    ]
    asked = _table(("annotation", "on", "effect"), requests)
    labelled = _table(("label", "on", "what it says"), ((key, "Secret", says) for key, says in USER_LABELS.items()))
    told = _table(("key", "is a", "what it says"), written)
    parts = (_INTRODUCTION, asked, _LABELS, labelled, _WRITTEN, told)
    return "\n".join(parts) + "\n"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ("---",) * len(header), *rows))
