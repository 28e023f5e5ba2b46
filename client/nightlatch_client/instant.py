"""Moments by two clocks. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instant:
    """`monotonic_s` stands still while some machines sleep; `wall_s` can be set by somebody."""

    monotonic_s: float
    wall_s: float

    def since(self, earlier: "Instant") -> float:
        """Seconds since then by the clock that counted more, so that nothing looks younger than it is."""
        return max(self.monotonic_s - earlier.monotonic_s, self.wall_s - earlier.wall_s)
