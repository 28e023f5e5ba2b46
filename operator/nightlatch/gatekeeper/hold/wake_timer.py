"""How long each phase of a wake took."""

from dataclasses import dataclass, field

PHASES = ("demand", "start", "probe", "eds", "release")
# The moment that ends each phase, in order; `begun` begins the first.
MOMENTS = ("directed", "addressed", "answered", "applied", "released")


@dataclass(slots=True)
class WakeTimer:
    """Marks the moments of the wake under way, each once. `now`: seconds of any steady clock.

    demand: first held call to the leader's word; start: to the replica's address; probe: to its first good answer;
    eds: to Envoy's ACK; release: to the ACK of the route without the gate. A phase that was skipped takes no time.
    """

    begun: float | None = None
    marks: dict[str, float] = field(default_factory=dict)

    def begin(self, now: float) -> None:
        """A wake begins, unless one is under way."""
        if self.begun is None:
            self.begun = now

    def mark(self, moment: str, now: float) -> None:
        """The moment came, unless it came before or no wake is under way."""
        if self.begun is not None:
            self.marks.setdefault(moment, now)

    def reset(self) -> None:
        """No wake is under way."""
        self.begun = None
        self.marks.clear()

    def finish(self) -> dict[str, float] | None:
        """Milliseconds by phase, and ready for the next wake; None when none was under way."""
        if self.begun is None:
            return None
        phases: dict[str, float] = {}
        last = self.begun
        for phase, moment in zip(PHASES, MOMENTS, strict=True):
            end = max(last, self.marks.get(moment, last))
            phases[phase] = round((end - last) * 1000, 2)
            last = end
        self.reset()
        return phases
