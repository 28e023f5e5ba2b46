"""Which implementation of the two seams the configuration asks for."""

from nightlatch.gatekeeper.config import ConfigError, Source
from nightlatch.store.protocol import Store
from nightlatch.workloads.protocol import WorkloadReader


def open_store(source: Source) -> Store:
    """The store, to read from. Raises ConfigError."""
    if source.kind != "files":
        raise ConfigError(f"store.kind {source.kind!r} is not known; it must be files")
    from nightlatch.store.files import FilesStore  # noqa: PLC0415 - each way to run brings its own dependencies

    return FilesStore(source.directory, read_only=True)


def open_workloads(source: Source) -> WorkloadReader:
    """The reader of what runs. Raises ConfigError."""
    if source.kind != "processes":
        raise ConfigError(f"workloads.kind {source.kind!r} is not known; it must be processes")
    from nightlatch.workloads.process_reader import ProcessWorkloadReader  # noqa: PLC0415 - as above

    return ProcessWorkloadReader(source.directory)
