"""Measures how long each phase of a wake takes."""

from dataclasses import dataclass, field

PHASES = ("demand", "start", "probe", "eds", "release")
# The moment that ends each phase, in the same order. The first phase begins with `begin`.
MOMENTS = ("directed", "addressed", "answered", "applied", "released")


@dataclass(slots=True)
class WakeTimer:
    """Keeps the moments of the current wake, each once. `now`: seconds of any steady clock.

    demand: from the first held call to the leader's directive. start: until the replica has an address. probe: until
    its first good answer. eds: until Envoy acknowledged the address. release: until Envoy acknowledged the route with
    the hold off. A phase that was skipped takes no time.
    """

    begun: float | None = None
    marks: dict[str, float] = field(default_factory=dict)

    def begin(self, now: float) -> None:
        """Begin a wake, unless there is one."""
        if self.begun is None:
            self.begun = now

    def mark(self, moment: str, now: float) -> None:
        """Keep the moment, unless the current wake has it already or there is no wake."""
        if self.begun is not None:
            self.marks.setdefault(moment, now)

    def reset(self) -> None:
        """Forget the current wake."""
        self.begun = None
        self.marks.clear()

    def finish(self) -> dict[str, float] | None:
        """End the current wake. Returns its milliseconds by phase, or None if there is no wake."""
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
