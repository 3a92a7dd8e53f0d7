"""Limits read from real control-group files, as Linux writes them."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from minibag import machine

NOWHERE = Path("no/such/membership")
VISIBLE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", VISIBLE),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("99900000 100000", VISIBLE),
    ],
)
def test_cpu_quota_of_version_2(tmp_path, limit, expected):
    write(tmp_path, cpu__max=limit)
    assert machine.cpu_count(tmp_path, NOWHERE) == expected


@pytest.mark.parametrize(("micros", "expected"), [("-1", VISIBLE), ("50000", 1)])
def test_cpu_quota_of_version_1(tmp_path, micros, expected):
    write(tmp_path / "cpu", cpu__cfs_quota_us=micros, cpu__cfs_period_us="100000")
    assert machine.cpu_count(tmp_path, NOWHERE) == expected


@pytest.mark.skipif(VISIBLE < 2, reason="one CPU only")
def test_a_part_of_a_cpu_counts_as_a_whole_one(tmp_path):
    write(tmp_path, cpu__max="110000 100000")
    assert machine.cpu_count(tmp_path, NOWHERE) == 2


def test_the_tightest_group_above_the_process_binds(tmp_path):
    membership = write(tmp_path, membership="0::/hub.slice/user-7.scope") / "membership"
    write(tmp_path / "hub.slice", memory__max="1000000000", cpu__max="100000 100000")
    write(tmp_path / "hub.slice" / "user-7.scope", memory__max="max", cpu__max="max 100000")
    write(tmp_path / "hub.slice" / "stranger.scope", memory__max="5")
    assert machine.memory_limit(tmp_path, membership) == 1_000_000_000
    assert machine.cpu_count(tmp_path, membership) == 1


def test_nested_groups_of_version_1(tmp_path):
    lines = "5:devices:/other\n4:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n0::/"
    membership = write(tmp_path, membership=lines) / "membership"
    write(tmp_path / "memory" / "docker" / "a", memory__limit_in_bytes="3000")
    write(tmp_path / "cpu" / "docker" / "a", cpu__cfs_quota_us="1000", cpu__cfs_period_us="1000")
    assert machine.memory_limit(tmp_path, membership) == 3000
    assert machine.cpu_count(tmp_path, membership) == 1


@pytest.mark.parametrize(
    "file", [{"memory__max": "max"}, {"memory__limit_in_bytes": "9223372036854771712"}]
)
def test_without_a_memory_limit_the_machine_is_the_limit(tmp_path, file):
    write(tmp_path, **file)
    assert machine.memory_limit(tmp_path, NOWHERE) == psutil.virtual_memory().total


def test_a_group_outside_the_container_is_not_followed(tmp_path):
    mount = write(tmp_path / "mount", membership="0::/../sibling")
    write(tmp_path / "sibling", memory__max="5")
    assert machine.memory_limit(mount, mount / "membership") > 5


def test_threads_follow_the_environment():
    code = "from minibag import machine; print(*machine.thread_counts().items(), sep=chr(10))"
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.check_output([sys.executable, "-c", code], env=env, text=True)
    counts = dict(ast.literal_eval(line) for line in said.splitlines())
    assert {"torch", "openmp"} <= set(counts)
    assert {"openblas", "mkl", "blis"} & set(counts)
    assert set(counts.values()) == {1}


@pytest.mark.skipif(VISIBLE < 2, reason="needs two CPUs to grant one of them")
@pytest.mark.parametrize("order", ["numpy, then the limit", "the limit, then numpy"])
@pytest.mark.parametrize("chosen", [None, "2"])
def test_threads_follow_the_quota_unless_the_user_chose(tmp_path, order, chosen):
    quota = write(tmp_path / "cgroup", **{"cpu.max": "100000 100000"})
    limit = f"from pathlib import Path; machine.limit_threads(Path({str(quota)!r}))"
    steps = ["import numpy", limit] if order.startswith("numpy") else [limit, "import numpy"]
    count = "print(max(p['num_threads'] for p in threadpoolctl.threadpool_info()))"
    code = "; ".join(["import threadpoolctl", "from minibag import machine", *steps, count])
    env = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    env |= {"OMP_NUM_THREADS": chosen} if chosen else {}
    threads = subprocess.check_output([sys.executable, "-c", code], env=env, text=True)
    assert int(threads) == int(chosen or 1)
