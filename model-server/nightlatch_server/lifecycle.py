"""The server's state from start to exit: loading, ready, draining. Read by the serving loop and the admin thread."""

from dataclasses import dataclass, field
from enum import Enum

from nightlatch_server.model_package.manifest import Manifest
from nightlatch_server.models.base import Embedder


class State(Enum):
    """`READY` means that the model is loaded and has run once."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class Lifecycle:
    """The state and what has been loaded so far. Each attribute is written once, or by one thread only."""

    state: State = State.LOADING
    manifest: Manifest | None = None
    digest: str = ""
    model: Embedder | None = None
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds that each finished phase of the start-up took."""

    @property
    def ready(self) -> bool:
        """True if new requests should be sent here."""
        return self.state is State.READY

    def loaded(self, model: Embedder) -> None:
        """Keep the model and become ready, unless the server is draining already."""
        self.model = model
        if self.state is State.LOADING:
            self.state = State.READY

    def drain(self) -> None:
        """Stop being ready. Requests that still arrive are served."""
        self.state = State.DRAINING
