"""The trust ledger under arbitrary crashes, lost writes, clock steps, slow gateways and pods, and restarts of all.

A small world around `step()`: two gateways, two pods and two callers, each with a bundle and a leaf that it takes late,
and the Secrets that they take them from. Callers say nothing; they only keep to the stated time.
"""

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nightlatch.planning.installation.ledger import CAFound, Holder, Ledger, step

HEARD, CALLERS = ("gateway-1", "gateway-2", "pod-1", "pod-2"), ("caller-1", "caller-2")
EVERYBODY = (*HEARD, *CALLERS)
START, HOUR = 1_800_000_000, 3600


class Installation(RuleBasedStateMachine):
    """issued, bundles: what is stored for each; shown, trusted: what each has taken of it.

    stale_since: since when a caller has something other than what is stored; it takes that within an hour.
    """

    def __init__(self):
        super().__init__()
        self.time, self.clock_error, self.minted = START, 0, 0
        self.ledger = Ledger()
        self.newest = None
        self.issued, self.bundles = {}, {}
        self.shown, self.trusted = {}, {}
        self.silent = set()
        self.stale_since = {}

    # What happens

    @initialize()
    def start(self):
        self.new_ca(same_root=False)
        self.reconcile()
        for name in EVERYBODY:
            self.issue(name)
            self.publish(name)
            self.take(name)

    @rule(same_root=st.booleans())
    def new_ca(self, same_root):
        """By schedule, on request, or because somebody brought another."""
        self.minted += 1
        root = next(iter(self.newest.anchors)) if same_root and self.newest else f"root-{self.minted}"
        self.newest = CAFound(f"ca-{self.minted}", frozenset({root}))

    @rule(lost=st.booleans())
    def reconcile(self, lost=False):
        """What it wrote may be lost, as by a crash before the write."""
        done = step(self.ledger, self.newest, self.holders(), self.now, callers=HOUR)
        again = step(done.ledger, self.newest, self.holders(), self.now, callers=HOUR)
        assert done.look_again is None or done.look_again > self.now
        states = [each.state for each in done.ledger.generations]
        assert all(states.count(state) <= 1 for state in ("Prepared", "Active", "Retiring"))
        assert states.count("Active") == 1
        assert again.ledger == done.ledger
        if not lost:
            self.ledger = done.ledger

    @rule(name=st.sampled_from(EVERYBODY))
    def issue(self, name):
        """A renewal, or the reissue after a roll-over."""
        self.store(self.issued, name, self.ledger.find("Active"))

    @rule(name=st.sampled_from(EVERYBODY))
    def publish(self, name):
        self.store(self.bundles, name, self.ledger.anchors)

    @rule(name=st.sampled_from(EVERYBODY))
    def take(self, name):
        self.shown[name], self.trusted[name] = self.issued[name], self.bundles[name]
        self.stale_since.pop(name, None)

    @rule(names=st.just(EVERYBODY))
    def settle(self, names):
        """Everything that is not broken catches up."""
        for _ in range(2):
            self.reconcile()
            for name in names:
                self.publish(name)
                self.issue(name)
                if name not in self.silent:
                    self.take(name)

    @rule(name=st.sampled_from(HEARD))
    def fall_silent(self, name):
        self.silent.add(name)

    @rule(name=st.sampled_from(HEARD))
    def speak(self, name):
        self.silent.discard(name)

    @rule(seconds=st.sampled_from([1, 60, HOUR, 2 * HOUR, 40 * 24 * HOUR]))
    def wait(self, seconds):
        self.time += seconds
        for name in CALLERS:
            if name in self.stale_since and self.time >= self.stale_since[name] + HOUR:
                self.take(name)

    @rule(hours=st.sampled_from([0, -1, -24, -9000]))
    def clock_step(self, hours):
        """The operator's clock falls behind. One that jumps ahead shortens the time that callers have, as it must."""
        self.clock_error = min(hours * HOUR, self.clock_error)

    # What must hold

    @invariant()
    def every_leaf_that_is_shown_is_trusted_everywhere(self):
        if len(self.shown) < len(EVERYBODY):
            return
        for verifier in EVERYBODY:
            for leaf in self.shown.values():
                assert leaf.anchors & self.trusted[verifier], (leaf, verifier, self.ledger)

    @invariant()
    def what_is_published_trusts_every_leaf_in_use(self):
        for leaf in (*self.shown.values(), *self.issued.values()):
            assert leaf.anchors <= self.ledger.anchors

    @invariant()
    def nothing_is_signed_by_a_ca_that_somebody_does_not_trust(self):
        active = self.ledger.find("Active")
        for name, trusted in self.trusted.items():
            assert active.anchors <= trusted, name

    # How to read this world

    @property
    def now(self):
        return self.time + self.clock_error

    def store(self, where, name, value):
        if where.get(name) != value:
            where[name] = value
            if name in CALLERS:
                self.stale_since.setdefault(name, self.time)

    def holders(self):
        """What the operator can know: Secrets at once, gateways and pods as they say, callers never."""
        found = []
        for name, bundle in self.bundles.items():
            found.append(Holder(f"Secret of {name}", bundle, frozenset({self.issued[name].key_id})))
        for name in HEARD:
            if name in self.shown:
                silent = name in self.silent
                shows = {self.shown[name].key_id}
                if silent:
                    shows |= {each.key_id for each in self.ledger.generations}
                found.append(Holder(name, frozenset() if silent else self.trusted[name], frozenset(shows)))
        return found


Installation.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestTheTrustLedgerSurvives = Installation.TestCase
