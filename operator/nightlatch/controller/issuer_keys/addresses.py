"""Which addresses a provider may have. Pure.

The owner of a TokenIssuer chooses the URL, and the operator can reach what its owner cannot: the cluster's services,
the cloud's metadata, other pods. So only public addresses are allowed, and the networks that the administrator names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

# This machine's own, for `nightlatch up`.
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
# Carries an IPv4 address inside (RFC 6052, RFC 3056, RFC 4380), which may be one of this network.
_TRANSLATED: tuple[Network, ...] = tuple(map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))


@dataclass(frozen=True, slots=True)
class AllowedAddresses:
    """`networks`: allowed although they are not public."""

    networks: tuple[Network, ...] = ()

    def admit(self, address: str) -> bool:
        """Whether a connection to this address, in its numeric form, is allowed."""
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if _is_in(found, self.networks):
            return True
        return found.is_global and not found.is_multicast and not _is_in(found, _TRANSLATED)


def _is_in(address: object, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
