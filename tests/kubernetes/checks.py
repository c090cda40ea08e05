"""What has to hold in a cluster, each with its figure. In this order: later checks use what earlier ones made."""

from check_config import Configuration
from check_container import OrdinaryContainer
from check_injection import Injection
from check_life import Life
from check_probes import Probes
from check_releases import Releases
from check_service import Service
from check_webhook import Webhook
from support import NAMESPACE


class Checks(Injection, Webhook, Service, Configuration, Probes, Life, OrdinaryContainer, Releases):
    def clean_up(self):
        """Takes away whatever the checks made."""
        for release in ("outrigger", "other", "grpc", "hook", "ordinary"):
            self.cluster.helm("uninstall", "outrigger", "--namespace", release, "--ignore-not-found", check=False)
        self.kubectl("delete", "namespace", NAMESPACE, "injected", "injected-other", "other", "outrigger", "quickstart", "grpc", "hook",
                     "hooked", "ordinary", "--ignore-not-found", "--timeout=120s", check=False)
