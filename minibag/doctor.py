"""The doctor: is this machine ready for the course, and if not, what to do about it.

``python -m minibag doctor`` prints the findings, ``minibag.doctor.report()`` shows them in a
notebook. Every check is a function of its inputs, so that each can be run on a broken set-up.
"""

from __future__ import annotations

import ast
import html
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from minibag import machine

MEMORY_NEEDED, DISK_NEEDED = 2e9, 1e9  # bytes: a lesson's budget; Imagenette at 160 px and models
REINSTALL = "pip install -e . (in the repository's folder)"
HTML = '<b style="color:{css}">{state}</b>'
COLOURS = {
    "OK": {"ansi": 32, "css": "#1a7f37"},
    "FAIL": {"ansi": 31, "css": "#b3261e"},
    "note": {"ansi": 33, "css": "#8a6100"},
}


@dataclass(frozen=True)
class Finding:
    """One line of the report; its state is "OK", "FAIL" (to be fixed) or "note" (good to know)."""

    subject: str
    state: str
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Report:
    """All findings. ``str`` gives text, a notebook shows colours; the words tell as much."""

    findings: tuple[Finding, ...]

    def failed(self) -> list[str]:
        """Return the subjects that must be fixed; empty if the machine is ready."""
        return [finding.subject for finding in self.findings if finding.state == "FAIL"]

    def render(self, mark: str = "{state}", escape: Callable[[str], str] = str) -> str:
        """Return the text, every state dressed up by the format ``mark`` (state, ansi, css)."""
        lines = []
        for f in self.findings:
            word = mark.format(state=f.state, **COLOURS[f.state])
            lines.append(f"{word}{'':{5 - len(f.state)}}{f.subject:11}{escape(f.detail)}")
            if f.fix:
                lines.append(f"{'':16}fix: {escape(f.fix)}")
        bad = ", ".join(self.failed())
        return "\n".join([*lines, f"To fix: {bad}." if bad else "Ready for the course."])

    def __str__(self) -> str:
        return self.render()

    def coloured(self) -> str:
        """Return the text for a terminal that shows colours."""
        return self.render("\033[{ansi}m{state}\033[0m")

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{self.render(HTML, html.escape)}</pre>"


def report() -> Report:
    """Examine this machine; takes some seconds, since torch is loaded and a kernel is started."""
    return Report(tuple(diagnose()))


def diagnose() -> list[Finding]:
    """Run every check and return its findings, in the order in which to fix them."""
    checks: list[Callable[[], Finding]] = [python, packages, kernel, widgets, threads, memory]
    return [_examine(check) for check in [*checks, disk, gpu, data, browser]]


def _examine(check: Callable[[], Finding]) -> Finding:
    """Run a check; that something it needs is not even installed is a finding too."""
    try:
        return check()
    except ImportError as error:  # also metadata.PackageNotFoundError
        return Finding(check.__name__, "FAIL", f"not installed or broken: {error}", REINSTALL)


def python(required: str | None = None) -> Finding:
    """Check that this Python is in the range ``required`` (default: what minibag declares)."""
    from packaging.specifiers import SpecifierSet

    needed = SpecifierSet(required or metadata.metadata("minibag")["Requires-Python"])
    version = sys.version.split()[0]
    if needed.contains(version, prereleases=True):
        return Finding("python", "OK", f"{version} ({sys.executable})")
    fix = f"make an environment with Python {needed}, e.g. conda env create -f environment.yml"
    return Finding("python", "FAIL", f"{version} is not {needed} ({sys.executable})", fix)


def packages(requirements: Sequence[str] | None = None) -> Finding:
    """Check that required packages are there, in range (default: what minibag declares)."""
    wrong = unmet(requirements or metadata.requires("minibag") or [])
    if wrong:
        return Finding("packages", "FAIL", "; ".join(wrong), REINSTALL)
    return Finding("packages", "OK", f"minibag {metadata.version('minibag')}, all in range")


def unmet(requirements: Sequence[str]) -> list[str]:
    """Return a sentence for each requirement (PEP 508) that this environment does not meet."""
    from packaging.requirements import Requirement

    wrong = []
    for needed in map(Requirement, requirements):
        found = [d.version for d in metadata.distributions(name=needed.name)][:1]
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        if not found or not needed.specifier.contains(found[0], prereleases=True):
            wrong.append(f"{needed.name} {needed.specifier} needed, {(found or ['none'])[0]} found")
    return wrong


def kernel(name: str = "python3") -> Finding:
    """Check that the Jupyter kernel starts, answers, and runs in this very environment."""
    fix = f"{sys.executable} -m ipykernel install --sys-prefix --name {name}"
    try:
        prefix = _prefix_of(name)
    except (KeyError, OSError, RuntimeError) as error:  # no such kernel, no program, it died
        return Finding("kernel", "FAIL", f"{name} does not answer: {error}", fix)
    if Path(prefix) != Path(sys.prefix):
        return Finding("kernel", "FAIL", f"{name} runs in another environment, {prefix}", fix)
    return Finding("kernel", "OK", f"{name} starts and answers")


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

    declared = metadata.requires("ipywidgets") if requirements is None else requirements
    wrong = unmet([r for r in declared or [] if r.startswith("jupyterlab_widgets")])
    folders = [
        Path(p, "@jupyter-widgets/jupyterlab-manager") for p in jupyter_path("labextensions")
    ]
    if not any(folder.is_dir() for folder in folders):
        wrong.append("JupyterLab does not find @jupyter-widgets/jupyterlab-manager")
    if wrong:
        fix = "pip install --force-reinstall ipywidgets jupyterlab_widgets"
        return Finding("widgets", "FAIL", "; ".join(wrong), fix)
    return Finding(
        "widgets", "OK", f"ipywidgets {metadata.version('ipywidgets')}, front end matches"
    )


def threads(cgroup: Path = machine.CGROUP) -> Finding:
    """Check that libraries start no more threads than the CPUs granted to this process."""
    granted, counts = machine.cpu_count(cgroup), machine.thread_counts()
    detail = f"{granted} CPUs granted; " + ", ".join(f"{k} {v}" for k, v in counts.items())
    if max(counts.values()) <= granted:
        return Finding("threads", "OK", detail)
    fix = f"set OMP_NUM_THREADS={granted} before Python or JupyterLab starts"
    harmless = max(counts.values()) <= 2 * granted  # costs some per cent, not a factor
    return Finding("threads", "note" if harmless else "FAIL", detail, fix)


def memory(cgroup: Path = machine.CGROUP) -> Finding:
    """Check that there are 2 GB for a lesson."""
    import psutil

    limit, free = machine.memory_limit(cgroup), psutil.virtual_memory().available
    detail = f"{limit / 1e9:.1f} GB, {min(limit, free) / 1e9:.1f} GB free (a lesson needs 2 GB)"
    if limit < MEMORY_NEEDED:
        return Finding("memory", "FAIL", detail, "use a machine or container with 2 GB or more")
    if free < MEMORY_NEEDED:
        return Finding("memory", "note", detail, "close other programs and notebooks")
    return Finding("memory", "OK", detail)


def disk(folder: Path = Path(), needed: float = DISK_NEEDED) -> Finding:
    """Check that ``needed`` bytes are free for data and models."""
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free in {folder.absolute()} (needs {needed / 1e9:.0f} GB)"
    if free >= needed:
        return Finding("disk", "OK", detail)
    return Finding("disk", "FAIL", detail, "make room, or move the repository to a larger disk")


def gpu() -> Finding:
    """Report whether torch can use a GPU, and whether it rounds float32 to TF32 there."""
    import torch

    with warnings.catch_warnings(record=True) as said:  # torch warns if the driver is too old
        warnings.simplefilter("always")
        found = torch.cuda.is_available()
    if not found:
        why = str(said[0].message).split(". ")[0] if said else "none found, the course needs none"
        hint = "install a CUDA build of torch" if shutil.which("nvidia-smi") else ""
        return Finding("gpu", "note", f"torch {torch.__version__}: {why}", hint)
    on = {True: "on", False: "off"}
    matmul, convolution = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    tf32 = f"TF32 {on[matmul]} for matrix products, {on[convolution]} for convolutions"
    return Finding("gpu", "OK", f"{torch.cuda.get_device_name()}; {tf32}")


def data(root: Path | None = None) -> Finding:
    """Report whether the large photographs are there; they are optional."""
    from minibag.data.imagenette import find_imagenette

    try:
        return Finding("data", "OK", f"Imagenette in {find_imagenette(root)}")
    except FileNotFoundError:
        where = root or "$MINIBAG_DATA or data/"
        fix = "python data_scripts/get_imagenette.py (optional; critters and photos need no file)"
        return Finding("data", "note", f"no Imagenette in {where}", fix)


def browser(names: Sequence[str] = ("chromium", "chromium-browser", "google-chrome")) -> Finding:
    """Report whether there is a Chromium for the browser tests; only developers need it."""
    found = next(filter(None, map(shutil.which, names)), None)
    return Finding("browser", "note", f"{found or 'no Chromium'} (only for the browser tests)")
