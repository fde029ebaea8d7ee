"""Spot machines where there are any, machines on demand where there are none: for the head of an AWS cluster.

Ray 2.60 asks for a refused spot machine again and again, whatever other node types there are: its autoscaler counts a
type as unavailable only when a machine that it has been given does not come up. So this asks for the same machine once
more, without `InstanceMarketOptions`. `cluster.yaml` runs it on the head before `ray start`:

    python spot_first.py ~/ray_bootstrap_config.yaml ~/ray_spot_first_config.yaml
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_MARKET = "InstanceMarketOptions"


class OnDemandFallback:
    """What a node provider of Ray's lacks; goes before it among the bases of a class."""

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> dict[str, Any] | None:
        """Launch machines, on demand where the cloud refuses what `node_config` asks for.

        Raises:
            Exception: the cloud refuses both.
        """
        # Before the provider, which may change what it is given.
        is_spot = _MARKET in node_config
        on_demand = {key: value for key, value in node_config.items() if key != _MARKET}
        launch: Callable[..., dict[str, Any] | None]
        launch = super().create_node_with_resources_and_labels  # type: ignore[misc]
        try:
            return launch(node_config, tags, count, resources, labels)
        except Exception as refusal:
            if not is_spot:
                raise
            logger.warning("no spot machine (%s); asking for %d on demand", refusal, count)
            return launch(on_demand, tags, count, resources, labels)


def __getattr__(name: str) -> type:
    """`SpotFirst`, made when it is asked for: the command below needs neither Ray nor boto3."""
    if name != "SpotFirst":
        raise AttributeError(name)
    # Ray has no public door to its providers; an autoscaler's `provider.module` is the one for others'.
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    return type(name, (OnDemandFallback, AWSNodeProvider), {})


def with_fallback(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a head's autoscaler, with the provider of this file in place of Ray's."""
    provider = {**config["provider"], "type": "external", "module": f"{Path(__file__).stem}.SpotFirst"}
    return {**config, "provider": provider}


if __name__ == "__main__":
    source, target = (Path(name) for name in sys.argv[1:])
    target.write_text(json.dumps(with_fallback(json.loads(source.read_text()))))
