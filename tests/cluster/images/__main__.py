"""`python -m tests.cluster.images COMMAND`."""

from tests.cluster.images.cli import main

if __name__ == "__main__":
    main()
