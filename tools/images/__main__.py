"""`python -m tools.images COMMAND`."""

from tools.images.cli import main

if __name__ == "__main__":
    main()
