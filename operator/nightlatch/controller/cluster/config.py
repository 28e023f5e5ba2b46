"""The operator's configuration file in a cluster, as the chart writes it."""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nightlatch.api.duration import parse_duration
from nightlatch.api.validation.allowed import Allowed
from nightlatch.planning.objects.cluster import ClusterSettings
from nightlatch.planning.settings import Settings

# The model servers' pods are callers' equals here: a kubelet shows them a changed Secret up to two minutes late.
LEAST_CALLERS_TAKE_S = 120.0


class ConfigError(ValueError):
    """The file cannot be used. The message names the entry and what is expected."""


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _callers_take(text: str) -> str:
    if parse_duration(text) < LEAST_CALLERS_TAKE_S:
        raise ValueError(f"{text} is too short: write 2m or more, because pods see a changed Secret so late")
    return text


class ClusterConfig(BaseModel):
    """watch_namespaces: the namespaces to watch; empty for all of them. allowed_…: see `Allowed`.
    provider_networks, callers_take, reissue_over: see `Settings`. cert_manager: whether to have cert-manager make
    certificates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trust_domain: str
    cluster_domain: str
    operator_namespace: str
    gateway_namespace: str
    gateway_service: str
    gateway_report_service: str
    gateway_port: int = Field(ge=1, le=65535)
    watch_namespaces: tuple[str, ...] = ()
    model_server_image: str
    image_pull_policy: str = "IfNotPresent"
    allowed_tolerations: tuple[str, ...]
    allowed_runtime_classes: tuple[str, ...]
    allowed_priority_classes: tuple[str, ...]
    provider_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    brought_ca: str = ""
    callers_take: Annotated[str, AfterValidator(_callers_take)] = "24h"
    reissue_over: Annotated[str, AfterValidator(_duration)] = "10m"
    cert_manager: bool = False
    log_level: str = "info"
    metrics_port: int = Field(default=8080, ge=0, le=65535)

    def settings(self) -> Settings:
        """The settings that planning needs."""
        return Settings(
            platform="Cluster",
            port=self.gateway_port,
            trust_domain=self.trust_domain,
            operator_namespace=self.operator_namespace,
            gateway_namespace=self.gateway_namespace,
            cluster_domain=self.cluster_domain,
            brought_ca=self.brought_ca,
            callers_take=timedelta(seconds=parse_duration(self.callers_take)),
            reissue_over=timedelta(seconds=parse_duration(self.reissue_over)),
            provider_networks=self.provider_networks,
            allowed=Allowed(
                self.allowed_tolerations,
                self.allowed_runtime_classes,
                self.allowed_priority_classes,
                self.cert_manager,
            ),
        )

    def cluster(self) -> ClusterSettings:
        """The settings that the builders of Kubernetes objects need."""
        return ClusterSettings(
            model_server_image=self.model_server_image,
            gateway_namespace=self.gateway_namespace,
            gateway_service=self.gateway_service,
            operator_namespace=self.operator_namespace,
            cluster_domain=self.cluster_domain,
            image_pull_policy=self.image_pull_policy,
        )


def read_config(path: Path) -> ClusterConfig:
    """Read the file. Raises ConfigError."""
    try:
        return ClusterConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        causes = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{path}: {causes}") from None
