"""One local Ray cluster a test run, started with the first test that asks for it and gone with the last."""

import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
import ray.data

from raydr.images.jpeg import encode

sys.path.insert(0, str(Path(__file__).parent))  # the helper module of this folder is importable by its name

NUM_CPUS = 2


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ray_environment() -> dict[str, str]:
    return {
        # With a token at hand Ray turns authentication on without writing one into the user's home.
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    }


@pytest.fixture(scope="session")
def ray_cluster(object_store_environment: dict[str, str]) -> Iterator[str]:
    """The address of a cluster with two logical CPUs, whatever the machine has."""
    folder, port = tempfile.mkdtemp(prefix="raydr-"), _free_port()  # short: sockets lie below it
    environment = _ray_environment()
    # Ray read RAY_AUTH_MODE when it was imported; only where it is unset does `init` set the mode, and read it anew.
    unset = ("RAY_ADDRESS", "RAY_AUTH_MODE")
    before = {name: os.environ.get(name) for name in [*environment, *unset]}
    os.environ.update(environment)
    for name in unset:
        os.environ.pop(name, None)
    started_before = set(psutil.Process().children(recursive=True))
    try:
        context = ray.init(
            address="local",
            num_cpus=NUM_CPUS,
            object_store_memory=300 * 2**20,
            include_dashboard=True,  # Ray Tune asks its State API whose placement groups are to be freed
            dashboard_port=port,
            log_to_driver=False,
            logging_level="WARNING",
            namespace="raydr-tests",
            runtime_env={
                "env_vars": {
                    "OMP_NUM_THREADS": "1",
                    "MKL_NUM_THREADS": "1",
                    "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}",
                    **object_store_environment,
                }
            },
            _temp_dir=folder,
        )
        data = ray.data.DataContext.get_current()
        data.enable_progress_bars, data.print_on_execution_start = False, False
        yield context.address_info["address"]
    finally:
        started = set(psutil.Process().children(recursive=True)) - started_before
        ray.shutdown()
        _, left = psutil.wait_procs(started, timeout=10)
        for process in left:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def draw_photograph(seed: int, side_px: int = 160) -> np.ndarray:
    """A bright textured disc on black, every seed another one."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:side_px, :side_px] / side_px - 0.5
    waves = np.sin(
        x[..., None] * draw.uniform(4, 30, 3) + y[..., None] * draw.uniform(4, 30, 3) + draw.uniform(0, 6, 3)
    )
    picture = draw.uniform(90, 160, 3) + 50 * waves
    return np.where((x**2 + y**2 < 0.2)[..., None], picture, 0).astype(np.uint8)


@pytest.fixture(scope="session")
def write_photographs() -> Callable[[Path, int], list[str]]:
    """Writes so many photographs into a folder and returns their paths."""

    def write(folder: Path, count: int) -> list[str]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{number:03d}.jpeg" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(encode(draw_photograph(number)))
        return [str(path) for path in paths]

    return write


@pytest.fixture(scope="session")
def write_broken() -> Callable[[Path], dict[str, str]]:
    """Puts broken files into a folder and returns the path of each by the reason it must be refused for."""

    def write(folder: Path) -> dict[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        whole = encode(draw_photograph(99))
        contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "not_an_image": b"image,level\n1,0\n"}
        for reason, content in contents.items():
            (folder / f"{reason}.jpeg").write_bytes(content)
        (folder / "not_a_file.jpeg").mkdir()
        return {reason: str(folder / f"{reason}.jpeg") for reason in [*contents, "missing", "not_a_file"]}

    return write


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Any]:
    """The network, without a host yet."""
    from hosts import Hosts, why_not

    if (reason := why_not()) is not None:
        pytest.skip(f"hosts of their own need network namespaces, and this machine gives none: {reason}")
    with Hosts(tmp_path) as found:
        yield found
