"""The format of a route document: the newest that the operator writes and every gateway reads. Pure."""

from collections.abc import Mapping

from nightlatch.wire.route_document import OLDEST_FORMAT


def format_to_write(written: int | None, reads: Mapping[str, int | None], newest: int) -> int:
    """The format of the next document.

    written: the format of the present document; None if there is none. reads: the newest format that each gateway of
    the directory reads; None for one that does not report, which may read the present format and no newer one. Where
    no gateway is known, none may be newer either.
    """
    known = [newest, *(each for each in reads.values() if each is not None)]
    if not reads or None in reads.values():
        known.append(written or OLDEST_FORMAT)
    return max(min(known), OLDEST_FORMAT)


def too_old_gateways(needed: int, reads: Mapping[str, int | None]) -> tuple[str, ...]:
    """The gateways that are not known to read this format."""
    return tuple(sorted(gateway for gateway, each in reads.items() if each is None or each < needed))
