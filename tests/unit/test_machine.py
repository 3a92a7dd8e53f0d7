"""Limits read from real control-group files, as Linux writes them."""

import ast
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import psutil
import pytest

from minibag import cgroup, machine

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


def refuse(monkeypatch, file, error):
    """Let this file not be read (root may read all)."""
    read = Path.read_bytes

    def guarded(path):
        if path == file:
            raise error(13, "refused", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)


GARBLED = ["", "?", "max", "many 100000", "100000", "100000 0", "-1 100000", "1 2 3", "1.5 2", "\0"]


@pytest.mark.parametrize("text", GARBLED)
def test_a_garbled_quota_limits_nothing_and_stops_nobody(tmp_path, text):
    write(tmp_path, cpu__max=text, memory__max=f"{text} GB")
    assert machine.cpu_count(tmp_path, NOWHERE) == VISIBLE
    assert machine.memory_limit(tmp_path, NOWHERE) == psutil.virtual_memory().total
    odd = [tmp_path / "memory.max"]
    assert cgroup.unreadable("memory", tmp_path, NOWHERE) == odd


@pytest.mark.parametrize("text", ["?", "many 100000", "100000", "1 2 3", "1.5 2", "\0"])
def test_a_garbled_quota_is_named(tmp_path, text):
    write(tmp_path, cpu__max=text)
    assert cgroup.unreadable("cpu", tmp_path, NOWHERE) == [tmp_path / "cpu.max"]


@pytest.mark.parametrize(("quota", "period"), [("50000", ""), ("?", "100000"), ("50000", "0")])
def test_a_quota_of_version_1_needs_its_period(tmp_path, quota, period):
    write(tmp_path / "cpu", cpu__cfs_quota_us=quota, cpu__cfs_period_us=period)
    assert machine.cpu_count(tmp_path, NOWHERE) == VISIBLE


@pytest.mark.parametrize("error", [PermissionError, OSError])
@pytest.mark.parametrize("name", ["cpu.max", "membership"])
def test_a_quota_that_cannot_be_read_is_named_and_does_not_stop_the_import(
    tmp_path, monkeypatch, error, name
):
    write(tmp_path, membership="0::/", cpu__max="100000 100000")
    refuse(monkeypatch, tmp_path / name, error)
    expected = VISIBLE if name == "cpu.max" else 1
    assert machine.cpu_count(tmp_path, tmp_path / "membership") == expected
    machine.limit_threads(tmp_path)
    odd = cgroup.unreadable("cpu", tmp_path, tmp_path / "membership")
    assert odd == [tmp_path / name]


@pytest.mark.parametrize("line", ["", "nonsense", "0:", "0::", "7:cpu", "0::/a\0b", "0::/\udcff"])
def test_an_odd_membership_is_no_membership(tmp_path, line):
    (tmp_path / "membership").write_bytes(os.fsencode(f"{line}\n"))
    write(tmp_path, cpu__max="100000 100000")
    assert machine.cpu_count(tmp_path, tmp_path / "membership") == 1


def test_a_mount_of_version_1_that_is_named_after_both_its_controllers(tmp_path):
    membership = write(tmp_path, membership="4:cpuacct,cpu:/a") / "membership"
    write(tmp_path / "cpuacct,cpu" / "a", cpu__cfs_quota_us="1000", cpu__cfs_period_us="1000")
    assert machine.cpu_count(tmp_path, membership) == 1


def test_memory_high_binds_like_memory_max(tmp_path):
    write(tmp_path, memory__max="4000000", memory__high="3000000")
    assert machine.memory_limit(tmp_path, NOWHERE) == 3_000_000


V2_STAT = "anon 1000\ninactive_file 300\nactive_file 40\nslab_reclaimable 5\nfile_dirty 9"
V1_STAT = "cache 9\ninactive_file 1\nactive_file 1\ntotal_inactive_file 300\ntotal_active_file 45"


@pytest.mark.parametrize(
    "files",
    [
        {"memory.max": "4000", "memory.current": "3900", "memory.stat": V2_STAT},
        {"memory.high": "4000", "memory.current": "3900", "memory.stat": V2_STAT},
        {
            "memory.limit_in_bytes": "4000",
            "memory.usage_in_bytes": "3900",
            "memory.stat": V1_STAT,
        },
    ],
    ids=["max", "high", "version 1"],
)
def test_free_is_the_limit_without_what_is_in_use_but_for_cache(tmp_path, files):
    write(tmp_path, **files)
    assert machine.memory_free(tmp_path, NOWHERE) == 4000 - (3900 - 345)


def test_the_group_with_the_least_left_binds_not_the_smallest(tmp_path):
    membership = write(tmp_path, membership="0::/a/b") / "membership"
    write(tmp_path / "a", memory__max="9000", memory__current="8900")
    write(tmp_path / "a" / "b", memory__max="5000", memory__current="100")
    assert machine.memory_limit(tmp_path, membership) == 5000
    assert machine.memory_free(tmp_path, membership) == 100


def test_never_less_than_nothing_is_free_and_never_more_than_the_machine_has(tmp_path, monkeypatch):
    write(tmp_path, memory__max="4000", memory__current="5000")
    assert machine.memory_free(tmp_path, NOWHERE) == 0
    write(tmp_path, memory__max=f"{2**62}", memory__current="0")
    least = types.SimpleNamespace(available=7, total=8)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: least)
    assert machine.memory_free(tmp_path, NOWHERE) == 7


def test_shared_memory_is_what_its_file_system_has_left(tmp_path):
    assert machine.shared_memory(tmp_path / "nowhere") == float("inf")
    left = machine.shared_memory(tmp_path)
    assert 0 < left <= shutil.disk_usage(tmp_path).total


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries need not be told")
def test_memory_between_what_is_still_used_is_given_back():
    code = """
import ctypes, psutil
from minibag.machine import give_back_memory
libc, held = ctypes.CDLL(None), lambda: psutil.Process().memory_info().rss
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
blocks = [libc.malloc(100_000) for _ in range(1000)]  # too small for pages of their own
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 100_000)
for block in blocks[:-1]:  # the last one keeps the others from being given back
    libc.free(block)
before = held()
give_back_memory()
print(before - held())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 50e6


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
