"""What claims to be exact is computed in float32, and the process is left as it was."""

import subprocess
import sys
import threading
from itertools import product

import numpy as np
import pytest
import torch

import minibag as mb
from minibag import evidence
from minibag.exact import SETTINGS, exact, set_tf32, trains_in_tf32
from minibag.nets import as_predictor, probe_receptive_field
from tests.unit.nets.small import noise, small_bagnet
from tests.unit.training.small import quick, small_net, small_set

get, put = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter
CUDA, ANY = ("none", "ieee", "tf32"), ("none", "ieee", "tf32", "bf16")
ROOT, *BRANCHES = SETTINGS[:3]
FLOAT32 = small_bagnet(9, dtype=torch.float32, layers=(1, 1, 1, 1))
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 20, 27, 3), dtype=np.uint8)
X = noise(2, 3, 20, 27, dtype=torch.float32)
PREDICTOR = as_predictor(FLOAT32, tuple("abcde"), {})


CLAIMS = {
    "heatmap": lambda: mb.heatmap(FLOAT32, X[0], [0, 3]),
    "logits": lambda: PREDICTOR.logits(PIXELS),
    "evidence": lambda: PREDICTOR.evidence(PIXELS),
    "predict_proba": lambda: PREDICTOR.predict_proba(PIXELS),
    **{
        name: lambda name=name: getattr(evidence, name)(FLOAT32, X, [0, 3])
        for name in (
            *("saliency", "input_x_gradient", "integrated_gradients", "occlusion"),
            *("grad_cam", "lrp", "deeplift"),
        )
    },
}
every_claim = pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)


def in_force() -> dict:
    return {setting: get(*setting) for setting in SETTINGS}


def choose(state: dict) -> None:
    for setting, value in state.items():
        put(*setting, value)


def answers(state: dict) -> list[dict]:
    """What is in force for every value that the settings above may get: all that a user notices."""
    found = []
    for value in ANY:
        put(*ROOT, value)
        found.append(in_force())
    for values in product(ANY, CUDA, ANY):
        choose(dict(zip([ROOT, *BRANCHES], values, strict=True)))
        found.append(in_force())
    choose({setting: state[setting] for setting in [ROOT, *BRANCHES]})
    return found


@pytest.fixture(autouse=True)
def process():
    """Give the process PyTorch's own settings afterwards."""
    yield
    choose(dict.fromkeys(SETTINGS, "none"))
    torch.backends.cudnn.allow_tf32 = True


def some_states() -> list[dict]:
    rng = np.random.default_rng(0)
    draw = {True: CUDA, False: ANY}
    return [{s: str(rng.choice(draw[s[0] == "cuda"])) for s in SETTINGS} for _ in range(60)]


def test_whatever_is_allowed_is_forbidden_inside_and_afterwards_as_it_was():
    for state in some_states():
        choose(state)
        expected = answers(state)
        with exact():
            assert set(in_force().values()) == {"ieee"}
        assert answers(state) == expected


FRESH = """
import torch
import minibag as mb

backends, net = torch.backends, mb.bagnet9(num_classes=2, width=1, layers=(1, 1, 1, 1))
mb.heatmap(net, torch.zeros(3, 9, 9), 0)
assert backends.cudnn.allow_tf32 and backends.cudnn.conv.fp32_precision == "tf32"
assert not backends.cuda.matmul.allow_tf32 and torch.get_float32_matmul_precision() == "highest"
for above in (backends, backends.cudnn):
    for value in ("ieee", "tf32", "none"):
        above.fp32_precision = value
        assert backends.cuda.matmul.fp32_precision == value
        assert backends.cudnn.conv.fp32_precision == ("tf32" if value == "none" else value)
"""


def test_settings_above_still_reach_convolutions_in_a_process_that_never_chose():
    """PyTorch starts with convolutions in a state that cannot be set: only a new process has it."""
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every_claim
def test_every_claim_is_computed_in_full_precision(claim):
    choose(dict.fromkeys(SETTINGS, "tf32"))
    seen = []
    handle = FLOAT32.conv2.register_forward_pre_hook(lambda *_: seen.append(in_force()))
    try:
        claim()
    finally:
        handle.remove()
    assert seen
    assert all(set(settings.values()) == {"ieee"} for settings in seen)
    assert set(in_force().values()) == {"tf32"}


@every_claim
def test_autocast_around_changes_nothing_and_stays_on(claim):
    expected = claim()
    with torch.autocast("cpu", torch.bfloat16):
        found = claim()
        assert torch.is_autocast_enabled("cpu")
        assert (X[0, 0] @ X[0, 0].T).dtype == torch.bfloat16
    assert found.dtype in (torch.float32, np.float32)
    assert np.array_equal(found, expected)


def test_the_probe_is_in_float64_whatever_is_around():
    expected = probe_receptive_field(FLOAT32)
    choose({setting: "tf32" for setting in SETTINGS})
    with torch.autocast("cpu", torch.bfloat16):
        assert probe_receptive_field(FLOAT32) == expected


def test_validation_is_exact_and_training_as_allowed():
    choose(dict.fromkeys(SETTINGS, "tf32"))
    net, seen = small_net(), []
    net[0].register_forward_pre_hook(
        lambda conv, _: seen.append((conv.training, get("cuda", "conv")))
    )
    mb.training.fit(net, small_set(16), small_set(9), quick(epochs=1), device="cpu")
    assert set(seen) == {(True, "tf32"), (False, "ieee")}


def test_threads_that_overlap_leave_the_process_as_the_first_found_it():
    state = dict.fromkeys(SETTINGS, "none") | {("cuda", "conv"): "tf32"}
    choose(state)
    expected, seen = answers(state), []
    together = threading.Barrier(8)

    def work():
        for _ in range(20):
            together.wait(timeout=60)  # so that all are inside at once, and leave in any order
            with exact():
                mb.heatmap(FLOAT32, X[0, :, :9, :9], 0)
                seen.append(in_force())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 160
    assert all(set(settings.values()) == {"ieee"} for settings in seen)
    assert answers(state) == expected


def test_who_leaves_first_takes_the_precision_from_nobody():
    put("cuda", "conv", "tf32")
    first, second = exact(), exact()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert get("cuda", "conv") == "ieee"
    second.__exit__(None, None, None)
    assert get("cuda", "conv") == "tf32"


def test_an_error_leaves_the_process_as_it_was():
    state = dict.fromkeys(SETTINGS, "none") | {("cuda", "conv"): "tf32"}
    choose(state)
    expected = answers(state)
    handle = FLOAT32.conv2.register_forward_hook(lambda *_: 1 / 0)
    try:
        for name in ("heatmap", "logits", "saliency"):
            with torch.autocast("cpu"), pytest.raises(ZeroDivisionError):
                CLAIMS[name]()
            assert answers(state) == expected
    finally:
        handle.remove()


@pytest.mark.parametrize("allowed", [True, False])
def test_what_is_chosen_for_the_process_holds_and_can_be_read_under_both_names(allowed):
    choose(dict.fromkeys(SETTINGS[:3], "ieee" if allowed else "tf32"))
    expected = "tf32" if allowed else "ieee"
    with exact():
        set_tf32(allowed)
        assert set(in_force().values()) == {"ieee"}
    assert {get("cuda", kind) for kind in ("conv", "matmul", "rnn")} == {expected}
    assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == allowed


@pytest.mark.parametrize(("able", "precision"), [(True, "tf32"), (True, "ieee"), (False, "tf32")])
def test_training_is_said_to_be_in_tf32_where_the_gpu_has_it_and_may_use_it(
    able, precision, monkeypatch
):

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: able)
    put("cuda", "conv", precision)
    assert trains_in_tf32() == (able and precision == "tf32")
