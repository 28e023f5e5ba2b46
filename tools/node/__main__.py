"""Start the command line."""

from tools.node.cli import main

main()
