"""`nightlatch package`: a model package of one's own safetensors."""

from pathlib import Path

import click

from nightlatch.embedded.errors import UserError


@click.command("package")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Where to write it. Default: into DIRECTORY.")
@click.option("--name", help="The model's name. Default: the directory's.")
@click.option("--version", default="1", show_default=True)
def command(directory: Path, output: Path | None, name: str | None, version: str) -> None:
    """Make a model package of DIRECTORY: config.json, tokenizer.json and *.safetensors of a BERT-family model."""
    try:
        from nightlatch_server.model_package.manifest import PackageError  # noqa: PLC0415 - only this verb needs it
        from nightlatch_server.model_package.writer import write_package  # noqa: PLC0415 - the same
    except ImportError as error:
        raise UserError(f"the model server is not installed ({error})", "install `nightlatch[model-server]`") from None
    try:
        digest = write_package(directory, output, name=name, version=version)
    except PackageError as error:
        raise UserError(str(error)) from None
    target = (output or directory).resolve()
    model = name or directory.resolve().name
    click.echo(f"{target} is a model package")
    click.echo(f"{digest}\n")
    click.echo(snippet(model, target, digest), nl=False)


def snippet(model: str, target: Path, digest: str) -> str:
    """The manifest to serve it with."""
    return f"""apiVersion: nightlatch.dev/v1alpha1
kind: InferenceEndpoint
metadata:
  name: {model.lower().replace("_", "-").replace(".", "-")}
spec:
  model:
    name: {model}
    source:
      path: {target}
    digest: {digest}
  access:
    apiKey: {{}}
"""
