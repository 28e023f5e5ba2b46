"""Start the command line."""

from tests.cluster.node.cli import main

main()
