"""Our own rules for pods, beyond what Kubernetes' schema prescribes."""

import re
from collections.abc import Iterator

from cluster_files import PROJECT, Manifest, pin

GIB = {"Mi": 2**-10, "Gi": 1.0, "Ti": 2.0**10}
IMAGES = {
    "cpu": f"raydr:{PROJECT['version']}-ray{pin('ray')}-cpu",
    "cuda": f"raydr:{PROJECT['version']}-ray{pin('ray')}-cuda",
    "mlflow": f"raydr:{PROJECT['version']}-mlflow{pin('mlflow')}",
}

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def gib(quantity: str) -> float:
    return float(quantity[:-2]) * GIB[quantity[-2:]]


def broken_pod_rules(name: str, pod: Manifest) -> Iterator[str]:
    """Which of the rules for every pod it breaks: restricted, no surprises, secrets by reference."""
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{name}: non-root, with the runtime's seccomp profile"
    if pod.get("enableServiceLinks") is not False:
        yield f"{name}: no variables named after services"
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        if container.get("securityContext") != RESTRICTED:
            yield f"{name}: restricted container"
        resources = container["resources"]
        if resources.get("requests") != resources.get("limits"):
            yield f"{name}: requests equal limits"
        for variable in container.get("env", []):
            if re.search("TOKEN|PASSWORD|SECRET", variable["name"]) and "value" in variable:
                yield f"{name}: secrets by reference"
        if not {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes | {"data"}:
            yield f"{name}: every mount has a volume"
