"""The doctor on healthy and on really broken set-ups."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_limits

from minibag import doctor, machine
from minibag.doctor import Finding, Report


@pytest.fixture(scope="module")
def here() -> Report:
    return doctor.report()


def quota(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_every_subject_is_examined_once(here):
    subjects = [finding.subject for finding in here.findings]
    assert subjects == [
        "packages", "kernel", "widgets", "threads", "memory",
        "shared", "disk", "gpu", "data",
    ]  # fmt: skip


def test_the_environment_of_these_tests_is_healthy(here):
    checked = {"packages", "kernel", "widgets", "memory", "disk"}
    assert [f for f in here.findings if f.subject in checked and f.state != "OK"] == []


def test_a_healthy_report_does_not_tell_the_paths_of_this_machine(here):
    healthy = Report(tuple(f for f in here.findings if f.state != "FAIL"))
    for text in (str(healthy), repr(healthy), healthy._repr_html_()):
        assert sys.prefix not in text
        assert str(Path.cwd()) not in text


def test_every_failure_names_a_fix_and_optional_things_never_fail(here):
    assert all(f.fix for f in here.findings if f.state == "FAIL")
    assert all(f.state != "FAIL" for f in here.findings if f.subject in ("gpu", "data"))


@pytest.mark.parametrize(
    ("requirement", "complaint"),
    [
        (
            "Python>=3.99",
            f"Python >=3.99 needed, {sys.version_info.major}.{sys.version_info.minor}",
        ),
        ("Python<3.11", "Python <3.11 needed"),
        ("numpy>=99", "numpy >=99 needed, 2"),
        ("numpy<1", "numpy <1 needed, 2"),
        ("minibag-no-such-package>=1", "minibag-no-such-package >=1 needed, none found"),
    ],
)
def test_a_python_or_package_out_of_range_or_missing_fails(requirement, complaint):
    finding = doctor.packages(["scipy>=1", requirement])
    assert finding.state == "FAIL"
    assert complaint in finding.detail
    assert "scipy" not in finding.detail


@pytest.mark.parametrize(
    "requirement", ["numpy>=99; extra == 'bench'", "numpy>=99; python_version < '3'", "NumPy>=1"]
)
def test_requirements_for_others_and_other_spellings_are_met(requirement):
    assert doctor.packages([requirement]).state == "OK"


def test_a_front_end_out_of_its_range_fails_and_a_missing_one_is_nobodys_need():
    finding = doctor.packages(["ipywidgets<8; extra == 'lab'", "no-such-lab; extra == 'lab'"])
    assert finding.state == "FAIL"
    assert finding.detail.startswith("ipywidgets <8 needed, 8.1")
    assert "no-such-lab" not in finding.detail


def test_a_broken_front_end_is_not_taken_for_none(monkeypatch):
    """Only where nothing of it is here does the doctor pass it over."""
    monkeypatch.setattr(doctor, "FRONT_END", ("no_such_kernel", "ipywidgets"))
    monkeypatch.setattr(doctor, "kernel", lambda: Finding("kernel", "FAIL", "", "mend it"))
    assert doctor.report().failed() == ["kernel"]


def test_a_package_that_is_not_installed_at_all_is_a_finding_not_a_crash():
    code = "import sys; sys.modules['packaging'] = None; from minibag import doctor as d\n"
    code += "print(d.examine(d.packages).state)"
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.strip() == "FAIL"


@pytest.mark.parametrize(("found", "state"), [("mps", "OK"), (None, "note")])
def test_the_accelerator_is_the_one_that_fit_takes(monkeypatch, found, state):
    monkeypatch.setattr(machine, "accelerator", lambda: found and torch.device(found))
    finding = doctor.gpu()
    assert finding.state == state
    assert finding.detail.startswith(found or "torch")


def install_kernel(folder: Path, argv: list[str]) -> None:
    spec = folder / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "broken", "language": "python"})
    )


@pytest.mark.parametrize(
    "argv",
    [[sys.executable, "-c", "raise SystemExit(3)"], ["/no/such/python", "{connection_file}"]],
    ids=["dies", "no such program"],
)
def test_a_kernel_that_does_not_start_fails(tmp_path, monkeypatch, argv):
    install_kernel(tmp_path, argv)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    finding = doctor.kernel()
    assert finding.state == "FAIL"
    assert "ipykernel install" in finding.fix


def test_a_kernel_of_another_environment_fails(tmp_path, monkeypatch):
    liar = (
        "import sys; sys.prefix = '/other/env'; from ipykernel.kernelapp import launch_new_instance"
    )
    launch = f"{liar}; launch_new_instance()"
    install_kernel(tmp_path, [sys.executable, "-c", launch, "-f", "{connection_file}"])
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    finding = doctor.kernel()
    assert finding.state == "FAIL"
    assert "runs elsewhere, in /other/env" in finding.detail


def test_an_unknown_kernel_fails():
    assert doctor.kernel("no-such-kernel").state == "FAIL"


def test_a_front_end_that_does_not_match_ipywidgets_fails():
    finding = doctor.widgets(["jupyterlab_widgets~=1.0", "comm>=99"])
    assert finding.state == "FAIL"
    assert "jupyterlab_widgets ~=1.0 needed" in finding.detail
    assert "comm" not in finding.detail


@pytest.mark.parametrize(("started", "state"), [(1, "OK"), (2, "note"), (8, "FAIL")])
def test_threads_beyond_the_quota_are_noted_and_far_beyond_it_fail(tmp_path, started, state):
    before = machine.thread_counts()["torch"]  # only loaded libraries can be limited
    with threadpool_limits(1):
        torch.set_num_threads(started)
        finding = doctor.threads(quota(tmp_path, cpu__max="100000 100000"))
    torch.set_num_threads(before)
    assert finding.state == state
    assert ("OMP_NUM_THREADS=1" in finding.fix) == (state != "OK")


def test_a_container_with_less_than_two_gigabytes_fails(tmp_path):
    finding = doctor.memory(quota(tmp_path, memory__max="1500000000"))
    assert finding.state == "FAIL"
    assert "1.5 GB" in finding.detail


GB = 10**9


def test_what_a_container_uses_is_not_free(tmp_path):
    finding = doctor.memory(
        quota(tmp_path, **{"memory.max": f"{4 * GB}", "memory.current": f"{38 * GB // 10}"})
    )
    assert finding.state == "note"
    assert "4.0 GB, 0.2 GB free" in finding.detail


@pytest.mark.parametrize(
    ("check", "files"),
    [
        (doctor.threads, {"cpu.max": "lots"}),
        (doctor.memory, {"memory.max": "lots"}),
        (doctor.memory, {"memory.high": "1 2"}),
        (doctor.memory, {"memory.limit_in_bytes": "1e9"}),
    ],
)
def test_a_limit_that_cannot_be_understood_is_told(tmp_path, check, files):
    finding = check(quota(tmp_path, **files))
    assert finding.state == "note"
    assert finding.detail.endswith(f"cannot read {tmp_path / next(iter(files))}")
    assert finding.fix


@pytest.mark.parametrize(("free", "state"), [(64e6, "note"), (float("inf"), "OK"), (1e12, "OK")])
def test_shared_memory_that_is_too_small_to_stream_is_noted(free, state):
    finding = doctor.shared(free)
    assert finding.state == state
    assert ("--shm-size" in finding.fix) == (state == "note")


def test_a_check_that_fails_itself_does_not_hide_the_others():
    def virtual_memory():
        raise RuntimeError("no such field")

    finding = doctor.examine(virtual_memory)
    assert (finding.subject, finding.state) == ("virtual_memory", "FAIL")
    assert "RuntimeError: no such field" in finding.detail


def test_a_full_disk_fails(tmp_path):
    assert doctor.disk(tmp_path, needed=1e18).state == "FAIL"


def test_missing_photographs_are_a_hint_with_the_command_that_fetches_them(tmp_path):
    finding = doctor.data(tmp_path)
    assert finding.state == "note"
    assert "data_scripts/get_imagenette.py" in finding.fix


def test_photographs_are_found(tmp_path):
    (tmp_path / "imagenette2-160").mkdir()
    assert doctor.data(tmp_path).state == "OK"


SAMPLE = Report(
    (Finding("disk", "OK", "fine"), Finding("kernel", "FAIL", "a <b> & c", "do <this>"))
)


def test_text_says_in_words_what_failed_and_how_to_fix_it():
    lines = str(SAMPLE).splitlines()
    assert lines[0].split() == ["OK", "disk", "fine"]
    assert lines[1].startswith("FAIL kernel")
    assert lines[2].strip() == "fix: do <this>"
    assert lines[3] == "To fix: kernel."
    assert str(Report(SAMPLE.findings[:1])).endswith("Ready for the course.")


def test_colours_come_only_on_request_and_columns_stay_aligned():
    assert "\033" not in str(SAMPLE)
    coloured = SAMPLE.coloured()
    assert "\033[32mOK\033[0m" in coloured
    assert "\033[31mFAIL\033[0m" in coloured
    for code in ("\033[32m", "\033[31m", "\033[0m"):
        coloured = coloured.replace(code, "")
    assert coloured == str(SAMPLE)


def test_the_notebook_view_escapes_what_it_quotes():
    html = SAMPLE._repr_html_()
    assert "a &lt;b&gt; &amp; c" in html
    assert "FAIL</b>" in html
