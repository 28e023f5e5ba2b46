"""YAML as the Kubernetes API server reads it."""

import yaml


class TimestampsAsText:
    """Mixed into a PyYAML loader, before it: a value that looks like a time stays text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute, read on the class
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
