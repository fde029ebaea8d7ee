"""`cluster.yaml` on moto's EC2: what `ray up` would set up before it launches the head, and the fallback to demand."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions
import pytest
import yaml
from moto import mock_aws

from deploy.spot_first import with_fallback
from tests.ray_cluster import ROOT

pytestmark = pytest.mark.slow

Config = dict[str, Any]


@pytest.fixture(scope="module")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """The configuration that `ray up` would launch the head with, in an account of moto's."""
    home = tmp_path_factory.mktemp("home")
    # Ray leaves a new key pair in the home folder, and looks for the module of the provider on the path.
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(home))
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.syspath_prepend(str(ROOT / "deploy"))
        from ray.autoscaler._private.commands import _bootstrap_config

        written = yaml.safe_load((ROOT / "cluster.yaml").read_text())
        yield _bootstrap_config(written, no_config_cache=True)
        assert os.listdir(home) == [".ssh"]


def test_declared_resources_are_those_of_the_instance_types(bootstrapped: Config) -> None:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    silent = copy.deepcopy(bootstrapped)
    for kind in silent["available_node_types"].values():
        kind["resources"] = {}
    found = AWSNodeProvider.fillout_available_node_types_resources(silent)["available_node_types"]
    workers = {name: kind for name, kind in bootstrapped["available_node_types"].items() if name != "head"}
    assert workers
    for name, kind in workers.items():
        assert kind["resources"] == found[name]["resources"]
        # Of 16 GB, what Ray leaves to trials beside the system and a store: 4 GB of that are not too much.
        assert 11e9 < kind["resources"]["memory"] < 13e9


def test_nothing_but_ssh_is_open_to_the_world(bootstrapped: Config) -> None:
    [group] = {tuple(kind["node_config"]["SecurityGroupIds"]) for kind in bootstrapped["available_node_types"].values()}
    ec2 = boto3.client("ec2", region_name=bootstrapped["provider"]["region"])
    [found] = ec2.describe_security_groups(GroupIds=list(group))["SecurityGroups"]
    from_outside = [rule for rule in found["IpPermissions"] if rule.get("IpRanges") or rule.get("Ipv6Ranges")]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in from_outside] == [(22, 22)]


@pytest.mark.parametrize("no_spot", [False, True], ids=["spot", "no spot"])
def test_rays_provider_with_the_fallback_asks_all_zones_and_then_on_demand(bootstrapped: Config, no_spot: bool) -> None:
    from ray.autoscaler._private.providers import _get_node_provider

    # As the head's file is read.
    config = json.loads(json.dumps(with_fallback(bootstrapped)))
    provider = _get_node_provider(config["provider"], f"test-{no_spot}", use_cache=False)
    node_config = config["available_node_types"]["gpu_worker"]["node_config"]
    ec2 = boto3.client("ec2", region_name=config["provider"]["region"])
    node_config["ImageId"] = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    del node_config["IamInstanceProfile"]  # the account has none
    asked = []

    def answer(params: dict[str, Any], **_: Any) -> None:
        body = params["body"]
        market = body.get("InstanceMarketOptions.MarketType", "on-demand")
        asked.append((market, body["SubnetId"]))
        if market == "spot" and no_spot:
            error = {"Error": {"Code": "InsufficientInstanceCapacity", "Message": "none"}}
            raise botocore.exceptions.ClientError(error, "RunInstances")

    provider.ec2_fail_fast.meta.client.meta.events.register("before-call.ec2.RunInstances", answer)
    tags = {
        "ray-user-node-type": "gpu_worker",
        "ray-node-type": "worker",
        "ray-node-name": "worker",
        "ray-node-status": "uninitialized",
        "ray-launch-config": "1",
    }
    launched = provider.create_node_with_resources_and_labels(node_config, tags, 1, {"CPU": 4, "GPU": 1}, {})
    zones = config["available_node_types"]["gpu_worker"]["node_config"]["SubnetIds"]
    spot = [("spot", zone) for zone in zones]
    assert asked == ([*spot, ("on-demand", zones[0])] if no_spot else spot[:1])
    [instance] = launched
    assert provider.non_terminated_nodes({}) == [instance]
    [reservation] = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    [found] = reservation["Instances"]
    assert (found["InstanceType"], found.get("InstanceLifecycle")) == ("g5.xlarge", None if no_spot else "spot")
