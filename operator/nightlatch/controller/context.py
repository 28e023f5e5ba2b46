"""What every reconciler works with: the two seams, the clock, and randomness."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from nightlatch.api.meta import SECRET, Kind, NamespacedName, RawObject
from nightlatch.informer import is_live
from nightlatch.planning.secrets import SecretView, view_secret
from nightlatch.store.protocol import NotFoundError, Store
from nightlatch.workloads.protocol import Certificates, Workloads


@dataclass(frozen=True, slots=True)
class Context:
    """clock: the time now, timezone-aware. random(n): n bytes of cryptographic quality. certificates: who makes some
    besides our own CA; None for nobody."""

    store: Store
    workloads: Workloads
    clock: Callable[[], datetime]
    random: Callable[[int], bytes]
    certificates: Certificates | None = None

    @property
    def has_cert_manager(self) -> bool:
        """Whether certificates can be had of others at this time."""
        return self.certificates is not None and self.certificates.available

    async def find(self, kind: Kind, key: NamespacedName) -> RawObject | None:
        """The object, or None if it does not exist or is being deleted, as informers see it."""
        try:
            found = await self.store.get(kind, key.namespace, key.name)
        except NotFoundError:
            return None
        return found if is_live(found) else None

    async def find_secret(self, key: NamespacedName) -> SecretView | None:
        """The Secret as data, or None. One that is being deleted still counts: its name is not free yet."""
        try:
            return view_secret(await self.store.get(SECRET, key.namespace, key.name))
        except NotFoundError:
            return None
