"""A cloud on this machine: what an autoscaler launches are raylets beside the head's, and spot machines may be out."""

from __future__ import annotations

from functools import partial
from typing import Any
from unittest import mock

from ray._private import parameter
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE

from deploy.spot_first import OnDemandFallback


class FakeMachines(FakeMultiNodeProvider):
    """Ray's provider of raylets on one machine, with a head of any type and a folder for each raylet.

    Its configuration has further keys: `head_type`; `log`, a file that takes a line for each launch; `no_spot`, whether
    spot machines are refused; `temp_dir`, below which the folders lie.
    """

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._nodes[self._head_node_id]["tags"][TAG_RAY_USER_NODE_TYPE] = provider_config["head_type"]

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> dict[str, Any] | None:
        kind = tags[TAG_RAY_USER_NODE_TYPE]
        market = "spot" if "InstanceMarketOptions" in node_config else "on-demand"
        with open(self.provider_config["log"], "a") as log:
            print(kind, market, count, file=log)
        if market == "spot" and self.provider_config["no_spot"]:
            raise NodeLaunchException("InsufficientInstanceCapacity", "no spot machine in any zone", None)
        # A machine tells its type by its labels; Ray's fake ones would have the head's.
        labels = {**labels, "ray.io/node-group": kind}
        for _ in range(count):
            with self.lock:
                # Those that share a folder replace each other's copies of a job's code, under its feet.
                folder = f"{self.provider_config['temp_dir']}/{self._next_node_id}"
                with mock.patch.object(parameter, "RayParams", partial(parameter.RayParams, temp_dir=folder)):
                    super().create_node_with_resources_and_labels(  # type: ignore[no-untyped-call]
                        node_config, tags, 1, resources, labels
                    )
        return None


class FakeMachinesSpotFirst(OnDemandFallback, FakeMachines):
    """The same with the fallback of `cluster.yaml`."""
