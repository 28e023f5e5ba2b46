"""Kubernetes quantities, such as `500m` and `1Gi`."""

from kubernetes.utils.quantity import parse_quantity


def same_quantity(one: str, other: str) -> bool:
    """True if both are quantities of the same amount, such as `0.5` and `500m`."""
    try:
        return bool(parse_quantity(one) == parse_quantity(other))
    except ValueError:
        return False
