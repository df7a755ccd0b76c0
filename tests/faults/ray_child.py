"""Builds on a Ray cluster of two nodes on this machine and kills one of them in the middle; writes its figures as JSON."""

import json
import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

from unreel.shards.build import build
from unreel.shards.engines.ray import RayEngine


def main(sources: str, out: str, shard_bytes: str) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    lost: list[int] = []

    def strike(stage: str, done: int, _total: int) -> None:
        if stage == "build" and done >= 1 and not lost:
            lost.append(done)
            cluster.remove_node(second, allow_graceful=False)

    with RayEngine(cluster.address) as engine:
        summary = build([sources], out, engine=engine, shard_bytes=int(shard_bytes), progress=strike)
    cluster.shutdown()
    figures = {"machines_lost": len(lost), "sources_done": summary.done, "refused": summary.refused}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
