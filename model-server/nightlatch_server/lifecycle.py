"""From start to exit: loading, ready, draining. Read from the serving loop and from the admin thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from nightlatch_server.model_package.manifest import Manifest
from nightlatch_server.models.base import Embedder


class State(Enum):
    """`READY` only once the model is loaded and one inference was done."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class Lifecycle:
    """What the server has and can do; each attribute is written once or by one thread."""

    state: State = State.LOADING
    manifest: Manifest | None = None
    digest: str = ""
    model: Embedder | None = None
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of each phase of start-up that is over."""

    @property
    def ready(self) -> bool:
        """Whether new work should be sent here."""
        return self.state is State.READY

    def loaded(self, model: Embedder) -> None:
        """The model can serve; ready, unless the server is told to end already."""
        self.model = model
        if self.state is State.LOADING:
            self.state = State.READY

    def drain(self) -> None:
        """Not ready any more; what comes in is still served."""
        self.state = State.DRAINING
