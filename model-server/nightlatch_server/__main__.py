"""`python -m nightlatch_server`; `--help` lists the options."""

import sys

from nightlatch_server.server import main

if __name__ == "__main__":
    main(sys.argv[1:])
