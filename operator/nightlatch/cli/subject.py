"""The object that a verb is about, written as `ic/NAME`; if there is none, the message says what exists."""

import difflib
from collections.abc import Sequence

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, Kind, NamespacedName, RawObject
from nightlatch.cli import options
from nightlatch.cli.place import Place
from nightlatch.embedded.errors import UserError
from nightlatch.store.protocol import NotFoundError, StoreError

SHORT = {kind: word for word, kind in options.SHORT_NAMES.items()}
_MOST_NAMED = 10


def parse(text: str) -> tuple[Kind, str]:
    """Kind and name of `ic/NAME`. Raises UserError."""
    word, slash, name = text.partition("/")
    if not slash or not name or "/" in name:
        raise UserError(
            f"{text!r} does not name a kind and an object",
            "write ic/NAME for an InferenceClient, or ie/NAME for an InferenceEndpoint",
            code=2,
        )
    return options.kind_of(word), name


async def find(place: Place, kind: Kind, key: NamespacedName) -> RawObject:
    """The object. Raises UserError if there is none."""
    try:
        return await place.store.get(kind, key.namespace, key.name)
    except NotFoundError:
        raise UserError(
            f"no {kind.kind} {key.name} in namespace {key.namespace} of {place}",
            instead(kind, key, await _existing(place, kind, key.namespace)),
        ) from None


async def find_client(place: Place, text: str, namespace: str | None) -> RawObject:
    """The InferenceClient that `text` names. Raises UserError, also for a kind that has no keys."""
    kind, name = parse(text)
    key = NamespacedName(namespace or place.namespace, name)
    if kind == INFERENCE_CLIENT:
        return await find(place, kind, key)
    hint = "name an InferenceClient, as ic/NAME"
    if kind == INFERENCE_ENDPOINT:
        hint = f"the keys that open an endpoint are its clients': see `nightlatch inspect ie/{name} -n {key.namespace}`"
    raise UserError(f"{kind.kind} {name} has no API keys: only an InferenceClient has", hint, code=2)


def instead(kind: Kind, missing: NamespacedName, existing: Sequence[NamespacedName]) -> str:
    """What to write instead of a name that does not exist."""
    short = SHORT.get(kind, kind.plural)
    here = sorted(each.name for each in existing if each.namespace == missing.namespace)
    elsewhere = sorted(each.namespace for each in existing if each.name == missing.name)
    if elsewhere:
        return f"it is in namespace {', '.join(elsewhere)}: name that with -n"
    if close := difflib.get_close_matches(missing.name, here, n=3):
        return f"did you mean {' or '.join(f'{short}/{name}' for name in close)}?"
    if here:
        named = ", ".join(f"{short}/{name}" for name in here[:_MOST_NAMED])
        return f"there {'is' if len(here) == 1 else 'are'} {named}{', …' if len(here) > _MOST_NAMED else ''}"
    if existing:
        namespaces = sorted({each.namespace for each in existing})[:_MOST_NAMED]
        return f"there is none in that namespace; there are some in {', '.join(namespaces)}: name it with -n"
    return f"there is no {kind.kind} at all: apply one, or name another place with --state-dir, --kubeconfig, --context"


async def _existing(place: Place, kind: Kind, namespace: str) -> tuple[NamespacedName, ...]:
    """Those of all namespaces, or of one where the user may not list more; none if not even that."""
    for scope in (None, namespace):
        try:
            return tuple(map(NamespacedName.of, (await place.store.list(kind, namespace=scope)).items))
        except StoreError:
            continue
    return ()
