"""The image: non-root, pinned, with all that is copied and all that the other files expect in it."""

import re

import pytest
from cluster_files import CLUSTER, PROJECT, ROOT, pin
from pod_rules import IMAGES

DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
IGNORED = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
CONSTRAINED = "--constraint /build/constraints.txt"


def stages(text: str) -> dict[str, str]:
    """What is done in each stage, by its name."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def broken_rules(text: str) -> list[str]:
    """Which of our rules a Dockerfile breaks."""
    bare = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    done = stages(bare)
    installs = re.findall(r"pip install ([^;&\n]*)", bare)
    named = [word for line in installs for word in line.split() if re.match(r"[A-Za-z]", word)]
    copied = [
        re.findall(r"(?<!\S)[^-\s]\S*", line)[:-1] for line in re.findall(r"^COPY (?!--from)(.*)$", bare, re.MULTILINE)
    ]
    rules = {
        "a stage for each image": set(IMAGES) <= set(done),
        "non-root": all(done.get(stage, "").rstrip().endswith("\nUSER 1000:1000") for stage in IMAGES),
        "every package in its tested version": all(CONSTRAINED in line for line in installs)
        and {word for word in named if "==" not in word} == {"torch", "torchvision"},
        "no latest": "latest" not in text,
        "Python that raydr runs on": bool(re.match(r"ARG BASE=python:3\.1[12]-slim-\w+\n", bare)),
        "what is copied is there and not ignored": all(
            (ROOT / source).exists() and f"!{source}" in IGNORED for sources in copied for source in sources
        ),
        "the tags are those of the manifests": all(
            re.search(rf"--target {stage} +-t {re.escape(image)} ", text) for stage, image in IMAGES.items()
        ),
        "raydr with what jobs/export.toml needs, in both": all(
            "'/build[export]'" in done.get(f"{stage}-packages", "") for stage in ("cpu", "cuda")
        ),
        "MLflow's version": f" mlflow=={pin('mlflow')} " in bare,
        "what probes, launcher and notices need": all(f" {tool} " in bare for tool in ("wget", "rsync", "curl")),
    }
    return [rule for rule, holds in rules.items() if not holds]


def test_the_dockerfile_keeps_our_rules() -> None:
    assert broken_rules(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        ("USER 1000:1000", "USER root", "non-root"),
        ("AS cuda\n", "AS gpu\n", "a stage for each image"),
        ("3.11-slim-trixie", "latest", "no latest"),
        ("3.11-slim-trixie", "3.9-slim-trixie", "Python that raydr runs on"),
        ("boto3==1.44.5", "boto3", "every package in its tested version"),
        (" --constraint /build/constraints.txt '/build[export]'\n", " /build\n", "every package in its tested version"),
        ("'/build[export]' nvidia", "/build nvidia", "raydr with what jobs/export.toml needs, in both"),
        ("'/build[export]'\n", "/build\n", "raydr with what jobs/export.toml needs, in both"),
        ("COPY pyproject.toml", "COPY setup.py", "what is copied is there and not ignored"),
        ("COPY raydr ", "COPY tests ", "what is copied is there and not ignored"),
        ("0.1.0-ray2.60.0-cpu", "0.1.0-ray2.59.0-cpu", "the tags are those of the manifests"),
        ("curl libgomp1", "libgomp1", "what probes, launcher and notices need"),
    ],
)
def test_our_rules_catch_a_planted_error(before: str, after: str, rule: str) -> None:
    assert before in DOCKERFILE
    assert rule in broken_rules(DOCKERFILE.replace(before, after))


def test_the_pins_agree() -> None:
    ray = [line for line in PROJECT["dependencies"] if line.startswith("ray[")]
    assert ray == [f"ray[data,default,train,tune]=={pin('ray')}"]


HOSTS = {
    "169.254.169.254",
    "metadata.google.internal",
    "mlflow.internal:5000",
    "mlflow.raydr.svc:5000",
    "www.googleapis.com",
}


def test_no_file_names_a_registry_or_holds_a_secret() -> None:
    for path in CLUSTER.rglob("*"):
        if not path.is_file() or path.suffix == ".md":
            continue
        text = path.read_text()
        assert set(re.findall(r"https?://([^/\"'}\s]+)", text)) <= HOSTS, path
        for image in re.findall(r"^[^#\n]*image: ([^\s}]+)", text, re.MULTILINE):
            assert re.fullmatch(r"(raydr|postgres):[\w.-]+", image), path
        assert not re.search(r"(?i)(password|secret|token)['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9+/]{16,}", text), path
        assert "PRIVATE KEY" not in text, path


def test_the_readme_names_every_file_and_no_other() -> None:
    text = (CLUSTER / "README.md").read_text()
    for path in CLUSTER.rglob("*"):
        if path.is_file() and path.name not in ("README.md", "Dockerfile.dockerignore"):
            assert re.search(rf"\b{re.escape(path.name)}\b", text), path
    named = set(re.findall(r"(?:cluster|jobs|tests)/[\w./-]+", text))
    assert {name for name in named if not (ROOT / name).exists()} == {"cluster/SITE.toml"}
