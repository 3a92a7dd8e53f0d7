"""The doctor: is this machine ready for the course, and if not, what to do about it.

Every check is a function of its inputs, so that each can be run on a broken set-up.
"""

from __future__ import annotations

import ast
import html
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from minibag import cgroup, machine

PYTHON = sys.version.split()[0]
MEMORY_NEEDED, DISK_NEEDED = 2e9, 1e9  # bytes: a lesson's budget; Imagenette at 160 px and models
BATCH = 256 * 3 * 224**2  # bytes: what the ImageNet recipe trains on at a time
AFRESH = "make a fresh environment: make lab, or conda env create -f environment.yml"
LAB = "pip install 'minibag[lab]'"
FRONT_END = ("ipykernel", "ipywidgets", "jupyterlab")  # each is missing where none is wanted
FETCH = "python data_scripts/get_imagenette.py (optional: critters and photos need no file)"
ANSI = {"OK": 32, "FAIL": 31, "note": 33}
CSS = {"OK": "#1a7f37", "FAIL": "#b3261e", "note": "#8a6100"}
STATE = re.compile("^(OK|FAIL|note)", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """One line of the report; its state is "OK", "FAIL" (to be fixed) or "note" (good to know)."""

    subject: str
    state: str
    detail: str
    fix: str = ""


@dataclass(frozen=True, repr=False)
class Report:
    """All findings. ``print`` gives text, a notebook shows colours; the words tell as much.

    Paths of this machine appear only where something is wrong: lessons are stored and shared.
    """

    findings: tuple[Finding, ...]

    def failed(self) -> list[str]:
        """Return the subjects that must be fixed; empty if the machine is ready."""
        return [finding.subject for finding in self.findings if finding.state == "FAIL"]

    def __repr__(self) -> str:
        lines = []
        for f in self.findings:
            lines.append(f"{f.state:5}{f.subject:11}{f.detail}")
            lines += [f"{'':16}fix: {f.fix}"] if f.fix else []
        failed = ", ".join(self.failed())
        lessons = all(f.subject != "lab" for f in self.findings)
        ready = "Ready for the course." if lessons else "Ready for all but the lessons."
        return "\n".join([*lines, f"To fix: {failed}." if failed else ready])

    def coloured(self) -> str:
        """Return the text for a terminal that shows colours."""
        return STATE.sub(lambda state: f"\033[{ANSI[state[0]]}m{state[0]}\033[0m", repr(self))

    def _repr_html_(self) -> str:
        text = html.escape(repr(self))
        text = STATE.sub(lambda state: f'<b style="color:{CSS[state[0]]}">{state[0]}</b>', text)
        return f"<pre style='white-space: pre-wrap'>{text}</pre>"


def report() -> Report:
    """Examine this machine; takes some seconds, since torch is loaded and a kernel is started."""
    front_end = (kernel, widgets) if any(map(find_spec, FRONT_END)) else (lab,)
    checks = (packages, *front_end, threads, memory, shared, disk, gpu, data)
    return Report(tuple(examine(check) for check in checks))


def examine(check: Callable[[], Finding]) -> Finding:
    """Run a check; what it needs may be missing, and it may fail itself: a finding, too."""
    try:
        return check()
    except ImportError as error:  # also metadata.PackageNotFoundError
        fix = LAB if check in (kernel, widgets) else AFRESH
        return Finding(check.__name__, "FAIL", f"not installed or broken: {error}", fix)
    except Exception as error:  # on a machine that nobody thought of, the other checks still count
        detail = f"cannot be examined: {type(error).__name__}: {error}"
        return Finding(check.__name__, "FAIL", detail, AFRESH)


def _judge(subject: str, good: bool, detail: str, fix: str, bad: str = "FAIL") -> Finding:
    return Finding(subject, "OK", detail) if good else Finding(subject, bad, detail, fix)


def lab() -> Finding:
    """Say that this is an environment without notebooks, as on a cluster; see `report`."""
    detail = "no JupyterLab, no widgets: the lessons need them, nothing else does"
    return Finding("lab", "note", detail, LAB)


def packages(requirements: Sequence[str] | None = None) -> Finding:
    """Check that Python and the packages are in their ranges (default: what minibag declares).

    Of the extra ``lab`` those count that are here: `kernel` and `widgets` miss the others.
    """
    own = metadata.metadata("minibag")
    needed = [f"Python{own['Requires-Python']}", *own.get_all("Requires-Dist", [])]
    wrong = "; ".join(_unmet(requirements or needed))
    good = f"Python {PYTHON}, minibag {own['Version']}, all packages in their ranges"
    return _judge("packages", not wrong, wrong or good, AFRESH)


def _unmet(requirements: Sequence[str]) -> Iterator[str]:
    """Yield a phrase for each requirement (PEP 508) that this environment does not meet."""
    from packaging.requirements import Requirement

    for needed in map(Requirement, requirements):
        versions = [d.version for d in metadata.distributions(name=needed.name)]
        found = PYTHON if needed.name == "Python" else next(iter(versions), "none")
        extras = [""] + ["lab"] * (found != "none")  # who has a front end wants one that works
        marker = needed.marker
        wanted = not marker or any(marker.evaluate({"extra": extra}) for extra in extras)
        good = found != "none" and needed.specifier.contains(found, prereleases=True)
        if wanted and not good:
            yield f"{needed.name} {needed.specifier} needed, {found} found"


def kernel(name: str = "python3") -> Finding:
    """Check that the Jupyter kernel starts, answers, and runs in this very environment."""
    try:
        prefix = _prefix_of(name)
        trouble = "" if Path(prefix) == Path(sys.prefix) else f"runs elsewhere, in {prefix}"
    except (KeyError, OSError, RuntimeError) as error:  # no such kernel, no program, it died
        trouble = f"does not answer: {error}"
    fix = f"{sys.executable} -m ipykernel install --sys-prefix --name {name}"
    return _judge("kernel", not trouble, f"{name} {trouble or 'starts and answers'}", fix)


def _prefix_of(kernel_name: str) -> str:
    """Start a kernel and ask it for its sys.prefix."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(60, kernel_name, stderr=subprocess.DEVNULL)
    try:
        ask = {"prefix": "__import__('sys').prefix"}
        answer = client.execute("", user_expressions=ask, reply=True, timeout=60)["content"]
        return str(ast.literal_eval(answer["user_expressions"]["prefix"]["data"]["text/plain"]))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def widgets(requirements: Sequence[str] | None = None) -> Finding:
    """Check that ipywidgets and its front end match and that JupyterLab finds the latter."""
    from jupyter_core.paths import jupyter_path

    declared = requirements or metadata.requires("ipywidgets") or []
    wrong = [*_unmet([r for r in declared if r.startswith("jupyterlab_widgets")])]
    front = "@jupyter-widgets/jupyterlab-manager"
    if not any(Path(folder, front).is_dir() for folder in jupyter_path("labextensions")):
        wrong.append(f"JupyterLab does not find {front}")
    detail = "; ".join(wrong) or f"ipywidgets {metadata.version('ipywidgets')}, front end matches"
    fix = "pip install --force-reinstall 'ipywidgets<8.1.9' jupyterlab_widgets"
    return _judge("widgets", not wrong, detail, fix)


def threads(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> Finding:
    """Check that libraries start no more threads than the CPUs granted to this process."""
    granted, counts = machine.cpu_count(root, membership), machine.thread_counts()
    most = max(counts.values())
    detail = f"{granted} CPUs granted; " + ", ".join(f"{k} {v}" for k, v in counts.items())
    if odd := cgroup.unreadable("cpu", root, membership):
        return _unknown("threads", detail, odd, "set OMP_NUM_THREADS to the CPUs that you may use")
    fix = f"set OMP_NUM_THREADS={granted} before Python or JupyterLab starts"
    bad = "note" if most <= 2 * granted else "FAIL"  # twice as many cost little, more cost a lot
    return _judge("threads", most <= granted, detail, fix, bad)


def memory(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> Finding:
    """Check that there are 2 GB for a lesson."""
    limit, free = machine.memory_limit(root, membership), machine.memory_free(root, membership)
    detail = f"{limit / 1e9:.1f} GB, {free / 1e9:.1f} GB free (a lesson needs 2 GB)"
    if limit < MEMORY_NEEDED:
        return Finding("memory", "FAIL", detail, "use a machine or container with 2 GB or more")
    if odd := cgroup.unreadable("memory", root, membership):
        return _unknown("memory", detail, odd, "ask who runs this machine how much you may use")
    return _judge("memory", free >= MEMORY_NEEDED, detail, "close other programs", "note")


def _unknown(subject: str, detail: str, files: Sequence[Path], fix: str) -> Finding:
    """Return the note that a limit may be tighter than what was found."""
    names = ", ".join(map(str, files))
    return Finding(subject, "note", f"{detail}; perhaps less: cannot read {names}", fix)


def shared(free: float | None = None) -> Finding:
    """Check that processes can share what ``train --recipe imagenet`` reads: a hint, if not."""
    free = machine.shared_memory() if free is None else free
    needed = BATCH * (2 * machine.cpu_count() + 1)  # each process that reads holds two ready
    told = "not limited" if math.isinf(free) else f"{free / 1e9:.1f} GB free"
    detail = f"shared memory: {told} (only training on folders needs it: {needed / 1e9:.1f} GB)"
    fix = f"docker run --shm-size={math.ceil(needed / 1e9)}g, or train with a smaller --batch-size"
    return _judge("shared", free >= needed, detail, fix, "note")


def disk(folder: Path = Path(), needed: float = DISK_NEEDED) -> Finding:
    """Check that ``needed`` bytes are free for data and models."""
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free here (needed {needed / 1e9:.0f} GB)"
    return _judge("disk", free >= needed, detail, "make room, or use a larger disk")


def gpu() -> Finding:
    """Report the accelerator that `fit` takes, and whether CUDA rounds float32 to TF32 there."""
    import torch

    device = machine.accelerator()
    if device is None:
        driver = shutil.which("nvidia-smi")
        detail = f"torch {torch.__version__} uses none; the course needs none"
        return Finding("gpu", "note", detail, (driver and "install torch for its driver") or "")
    module = torch.get_device_module(device)
    name = module.get_device_name() if hasattr(module, "get_device_name") else device.type
    if device.type != "cuda":
        return Finding("gpu", "OK", name)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    fp32 = f"fp32 of matrix products: {matmul.fp32_precision}, convolutions: {cudnn.fp32_precision}"
    return Finding("gpu", "OK", f"{name}; {fp32}")


def data(root: Path | None = None) -> Finding:
    """Report whether the large photographs are there; they are optional."""
    from minibag.data.imagenette import find_imagenette

    try:
        return Finding("data", "OK", f"{find_imagenette(root).name} is there")
    except FileNotFoundError:
        where = root or "$MINIBAG_DATA or data/"
        return Finding("data", "note", f"no Imagenette in {where}", FETCH)
