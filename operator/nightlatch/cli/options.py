"""Options and arguments that several verbs have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, SECRET, TOKEN_ISSUER, Kind
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.layout import DEFAULT_DIRECTORY, Layout
from nightlatch.embedded.manifests.documents import DEFAULT_NAMESPACE

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SHORT_NAMES = {"ie": INFERENCE_ENDPOINT, "ic": INFERENCE_CLIENT, "ti": TOKEN_ISSUER}
KINDS = {
    **SHORT_NAMES,
    **{
        word: kind
        for kind in (INFERENCE_ENDPOINT, INFERENCE_CLIENT, TOKEN_ISSUER, SECRET)
        for word in (kind.plural, kind.kind.lower())
    },
    "endpoint": INFERENCE_ENDPOINT,
    "endpoints": INFERENCE_ENDPOINT,
    "client": INFERENCE_CLIENT,
    "clients": INFERENCE_CLIENT,
    "issuer": TOKEN_ISSUER,
    "issuers": TOKEN_ISSUER,
}

state_dir: Decorator = click.option(
    "--state-dir",
    type=click.Path(file_okay=True, path_type=Path),
    default=DEFAULT_DIRECTORY,
    envvar="NIGHTLATCH_STATE_DIR",
    show_default=True,
    show_envvar=True,
    help="The directory with keys, certificates and state.",
)
namespace: Decorator = click.option(
    "-n",
    "--namespace",
    default=DEFAULT_NAMESPACE,
    show_default=True,
    metavar="NAMESPACE",
    help="The object's namespace.",
)


def kind_of(word: str) -> Kind:
    """The kind that a word names, such as `ie`, `InferenceEndpoint` or `endpoints`. Raises UserError."""
    try:
        return KINDS[word.lower()]
    except KeyError:
        raise UserError(
            f"unknown kind {word!r}",
            "write ie (InferenceEndpoint), ic (InferenceClient), ti (TokenIssuer) or secret",
            code=2,
        ) from None


def existing(directory: Path) -> Layout:
    """The layout of a state directory that `nightlatch up` has created. Raises UserError if there is none."""
    layout = Layout.at(directory)
    if not (layout.root / "objects").is_dir():
        raise UserError(
            f"no state directory at {layout.root}",
            "start `nightlatch up FILE` first, or say where it is with --state-dir",
        )
    return layout
