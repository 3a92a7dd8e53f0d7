"""What is said of speed: the same function in every way, bytes as counted by hand, honest rates."""

import importlib
import json
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from torch import nn

import minibag as mb
from benchmarks import bounds, tables_nets, throughput, ways
from benchmarks.ledger import Ledger
from benchmarks.record import RESULTS
from tests.unit.training.small import small_net, small_set

CPU = torch.device("cpu")


def tiny(num_classes=5):
    """A BagNet-17 whose norms are not the identity, with 1x1 convolutions of six shapes."""
    torch.manual_seed(0)
    return mb.bagnet17(num_classes, width=8, layers=(1, 1, 1, 1))


@pytest.fixture(autouse=True)
def tf32_as_before():
    """Leave the switches of NVIDIA's libraries to other tests as they were."""
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


@pytest.fixture
def images():
    return torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def few(monkeypatch):
    """Return the arguments of `bounds` for a tiny network, a call for each figure."""
    monkeypatch.setattr(ways, "NETS", {"BagNet-33": tiny})
    monkeypatch.setattr(bounds, "SMALL", 64)
    monkeypatch.setitem(bounds.SQUARES, "cpu", (8,))
    return Namespace(
        device=CPU, numbers=64, seconds=0.0, batch=2, nets=["BagNet-33"], sides=[40], compile=False
    )


@pytest.mark.parametrize(
    "program", ["bounds", "ways", "ledger", "precision", "throughput", "heatmap"]
)
def test_a_program_says_what_it_measures(program):
    assert importlib.import_module(f"benchmarks.{program}").__doc__


def gradient(net, way, x):
    """Loss and gradient of a step through ``way``, which leaves the network as it was."""
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.zero_grad()
    value = ways.loss(way, x)
    value.backward()
    net.load_state_dict(before)
    return value.item(), torch.cat([p.grad.flatten() for p in net.parameters()])


@pytest.mark.parametrize(
    "way", ["one stem", "recompute blocks", "recompute stages", "recompute all but convolutions"]
)
def test_every_way_to_train_is_the_same_function_with_the_same_gradient(images, way):
    net, x = tiny().double().train(), images.double()
    expected, slope = gradient(net, net, x)
    value, same = gradient(net, (ways.training_ways(net) | ways.memory_ways(net))[way], x)
    assert value == pytest.approx(expected, rel=1e-12)
    assert (same - slope).abs().max() < 1e-10 * slope.abs().max()


def counted(module, x, backward=False):
    with Ledger() as ledger:
        out = module(x)
        if backward:
            out.backward(torch.empty_like(out))
    return [row for row in ledger.rows if row[0] != "other"]


def test_bytes_and_multiply_adds_of_a_convolution_are_those_counted_by_hand():
    conv = nn.Conv2d(3, 5, 3, bias=False, device="meta")
    x = torch.empty(2, 3, 10, 10, device="meta", requires_grad=True)
    maps, kernel, out = 2 * 3 * 10 * 10, 5 * 3 * 3 * 3, 2 * 5 * 8 * 8  # numbers of 4 bytes
    work = out * 3 * 3 * 3
    assert counted(conv, x.detach())[0] == ("conv 3x3", work, 4 * (maps + kernel + out))
    # Backward reads the slope, the maps and the kernel, and writes slopes of the last two.
    read, written = out + maps + kernel, maps + kernel
    rows = counted(conv, x, backward=True)
    assert rows[1] == ("conv 3x3", 2 * work, 4 * (read + written))


def test_a_norm_reads_its_maps_twice_in_training_and_once_otherwise():
    norm, x = nn.BatchNorm2d(5, device="meta"), torch.empty(2, 5, 8, 8, device="meta")
    maps, channels = 2 * 5 * 8 * 8, 5
    with torch.no_grad():
        (once,) = counted(norm.eval(), x)
        (twice,) = (row for row in counted(norm.train(), x) if row[0] == "norm")
    # Read: maps, weight, bias, running mean and variance. Written: maps, mean and deviation.
    read, written = maps + 4 * channels, maps + 2 * channels
    assert once == ("norm", 0, 4 * (read + written))
    assert twice == ("norm", 0, 4 * (2 * read + written))


def test_the_floor_of_an_operation_is_the_longer_of_its_two():
    ledger = Ledger()
    ledger.rows = [("conv 1x1", 600, 10), ("relu", 0, 40), ("conv 1x1", 100, 80)]
    table = ledger.by_kind(2, bandwidth=10.0, rate=100.0)  # a batch of two
    assert table["conv 1x1"]["floor"] == (6 + 8) / 2
    assert table["all"]["floor"] == (6 + 4 + 8) / 2
    assert table["all"]["fused_floor"] == (6 + 8) / 2


def test_products_are_those_of_the_networks_own_convolutions(images):
    shapes = ways.pointwise(tiny(), images)
    # The stem, then the first block: 40 pixels, 38 after the 3x3 of the stem, 18 after its own; the
    # skip, of stride 2 without a kernel to lose pixels to, has 19.
    assert shapes[:4] == [(40, 3, 8), (38, 8, 8), (18, 8, 32), (19, 8, 32)]
    square, *three = ways.products([16], [(7, 8, 32)], 2, torch.float32, CPU)
    assert (square[0], square[1]().shape) == (16**3, (16, 16))
    assert {work for work, _ in three} == {2 * 7 * 7 * 8 * 32}
    product, first, last = (function() for _, function in three)
    torch.testing.assert_close(first, last)
    torch.testing.assert_close(product.view(2, 7, 7, 32).permute(0, 3, 1, 2), first)


def test_rates_are_measured_on_both_sides_of_a_network_and_the_best_one_counts(few, capsys):
    setting = {"precision": "fp32", "layout": "last", "compiled": False}
    found = bounds.network("BagNet-33", 40, [setting], few)
    assert found["rates"].keys() == {"before", "after"}
    assert all(rates.keys() == {"memory", "cache", "fp32"} for rates in found["rates"].values())
    best = max(rates["fp32"] for rates in found["rates"].values())
    assert [row["way"] for row in found["rows"]] == ["forward", "folded", "training", "one stem"]
    for row in found["rows"]:
        work = found["floors"]["fp32"][row["way"]]["all"]["multiply_adds"]
        assert row["work_share"] == pytest.approx(work / row["seconds"] / best)
        assert row["beyond"] == (row["work_share"] > 1)
    assert "one stem" in capsys.readouterr().out


@pytest.mark.parametrize(("seconds", "beyond"), [(1.01, False), (0.99, True)])
def test_a_network_faster_than_any_product_is_flagged_and_the_table_shows_it(seconds, beyond):
    row = {"way": "forward", "precision": "fp32", "layout": "last", "compiled": False}
    rows = [{**row, "seconds": seconds}]
    whole = {"floor": 2.0, "fused_floor": 1.0, "multiply_adds": 100.0}
    bounds.judge(rows, {"fp32": {"forward": {"all": whole}}}, {"memory": 1.0, "fp32": 100.0})
    assert rows[0]["beyond"] is beyond
    net = {"net": "BagNet-17", "side": 160, "rows": rows}
    table = tables_nets.bounds({"threads": 1, "networks": [net]})
    assert ("%) !" in table) is beyond
    assert ("the share is void" in table) is beyond


def test_the_table_copes_with_a_program_that_was_cut():
    record = json.loads((RESULTS / "bounds.json").read_text())
    whole = tables_nets.bounds(record)
    assert f"time of a step, {record['batch']} images" in whole
    del record["memory"], record["adamw"]
    cut = tables_nets.bounds(record)
    assert whole.startswith(cut)
    assert "BagNet-33, bf16 | 160" in cut
    assert "GiB" not in cut


def test_memory_is_measured_for_a_tiny_network(few):
    rows = bounds.memory("BagNet-33", 40, few)
    assert [row["way"] for row in rows] == [*ways.memory_ways(tiny())]
    assert all(row["gib"] < rows[0]["gib"] for row in rows[1:])


def test_what_takes_long_to_compile_is_measured_once_and_before_the_second_side():
    gpu = Namespace(device=torch.device("cuda"), sides=[160, 224], compile=True, nets=["a", "b"])
    todo = [(name, side, len(settings)) for name, side, settings in bounds.jobs(gpu)]
    eager = len(ways.DTYPES) * len(bounds.LAYOUTS)
    expected = [("a", 160, eager), ("b", 160, eager), ("a", 160, 1), ("b", 160, 1)]
    assert todo == [*expected, ("a", 224, eager), ("b", 224, eager)]


def test_loops_at_full_size_are_compared_on_the_same_network(capsys):
    recipe = replace(throughput.FULL, batch_size=8, epochs=3, precision="fp32")
    ours = {"bf16": replace(recipe, precision="bf16"), "fp32": recipe}
    nets = {"tiny": lambda num_classes: small_net(classes=num_classes)}
    rows = throughput.at_full_size(nets, small_set(), ours, 0.01, CPU)
    assert [*rows["tiny"]] == ["plain fp32", "plain tf32", "bf16", "fp32"]
    assert min(rows["tiny"].values()) > 0
    assert "x plain fp32" in capsys.readouterr().out
    assert not torch.backends.cudnn.allow_tf32
    full = {**dict.fromkeys(("plain fp32", "plain tf32"), 100.0), "bf16": 310.0, "compiled": 420.0}
    record = json.loads((RESULTS / "throughput.json").read_text())
    assert "full size" not in tables_nets.throughput(record)
    table = tables_nets.throughput({**record, "full_size": {"BagNet-33": full}})
    assert "| BagNet-33 | 100 (1.00 x) | 100 (1.00 x) | 310 (3.10 x) | 420 (4.20 x) |" in table


def test_our_rate_leaves_out_the_first_epoch(monkeypatch):
    history = [{"seconds": 100.0}, {"seconds": 2.0}, {"seconds": 3.0}]
    monkeypatch.setattr(throughput, "fit", lambda *_, **__: history)
    recipe = replace(throughput.FULL, batch_size=8)
    found = throughput.own_rate(small_net(), throughput.noise(20, 4), recipe, CPU)
    assert found == 2 * 16 / 5  # two whole batches of 8 an epoch
