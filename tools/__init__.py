"""What a developer runs and no user installs: the bundled Kubernetes node, the image build, the checks of `make check`.

Nothing here is part of a distribution, and no product code imports it. Start in `tools/node/README.md`.
"""
