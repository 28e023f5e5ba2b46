"""Returns the image for the current state of the checkout: from the storage, or built now."""

from tools.images import buildah
from tools.images.buildah import Image
from tools.images.inputs import TARGETS, Target, reference
from tools.node.artifacts import debian_base
from tools.node.errors import NodeError
from tools.node.locks import exclusive
from tools.node.progress import Progress


def built(name: str, progress: Progress) -> Image:
    """Return the image of a target; build it if its inputs changed. Raises NodeError."""
    buildah.ensure()
    target = TARGETS[name]
    wanted = reference(target)
    if found := buildah.find(wanted):
        return found
    with exclusive(buildah.root() / "lock", progress):
        return buildah.find(wanted) or _build(target, wanted, progress)


def remove_superseded(progress: Progress) -> None:
    """Remove all images but those of the current state of the checkout."""
    buildah.ensure()
    wanted = {reference(target) for target in TARGETS.values()}
    with exclusive(buildah.root() / "lock", progress):
        buildah.remove([name for name in buildah.names() if name not in wanted])


def _build(target: Target, wanted: str, progress: Progress) -> Image:
    bases = {argument: debian_base.image(base, progress) for argument, base in target.bases}
    progress.step(f"Building {wanted}")
    buildah.build(target, wanted, bases, progress)
    image = buildah.find(wanted)
    if image is None:
        raise NodeError(f"buildah built {wanted} without an error, but its storage does not have it")
    progress.step(f"Built {wanted}: {_sizes(image)}")
    return image


def _sizes(image: Image) -> str:
    """Return the size of the whole image, and of each layer above 1 MiB, from the base up."""
    layers = " + ".join(f"{layer.size / 2**20:.0f}" for layer in image.layers if layer.size > 2**20)
    return f"{image.size / 2**20:.0f} MiB uncompressed ({layers})"
