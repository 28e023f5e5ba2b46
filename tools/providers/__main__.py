"""`python -m tools.providers`: fetch the identity providers of the tests now, so that no test waits for it."""

import sys

from tools.node.errors import NodeError
from tools.node.progress import Progress
from tools.providers import keycloak, oidc_provider


def main() -> int:
    """Exit status 1 if one cannot be fetched. What the machine lacks is told, and is no failure."""
    progress, failed = Progress(), False
    for missing, fetch in (
        (keycloak.missing, keycloak.distribution),
        (oidc_provider.missing, oidc_provider.program),
    ):
        if why := missing():
            print(f"!!! SKIPPED: {why}")
            continue
        try:
            print(fetch(progress))
        except NodeError as error:
            print(error, file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
