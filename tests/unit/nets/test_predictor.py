"""Networks as predictors of uint8 images, and as files that nobody can mix up unnoticed."""

import hashlib
import json
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import minibag as mb
from minibag.nets import BagNet, as_predictor, build, normalise
from minibag.nets.storage import KIND, read_net, write_net

CLASSES = ("fish", "frog", "bird")
BAGNET = {"name": "bagnet", "patch_size": 9, "num_classes": 3, "width": 4, "layers": [1, 1, 2, 1]}
RESNET = {"name": "resnet", "num_classes": 3, "width": 4, "layers": [1, 1]}
CARD = {"image_size": 40, "seed": 3, "recipe": {"epochs": 2}}


def new(architecture, seed=0, **options):
    """A predictor whose batch norms have seen data."""
    torch.manual_seed(seed)
    net = build(architecture)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return as_predictor(net, CLASSES, architecture, CARD, **options)


@pytest.fixture(scope="module")
def images():
    return mb.critters("val", 7, 40).images


def test_normalising_is_what_torchvision_does(images):
    t = torchvision.transforms
    theirs = t.Compose([t.ToTensor(), t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    expected = torch.stack([theirs(Image.fromarray(image)) for image in images])
    torch.testing.assert_close(normalise(images), expected)
    torch.testing.assert_close(normalise(torch.from_numpy(images), "cpu"), expected)
    assert normalise(images, "meta").device.type == "meta"


@pytest.mark.filterwarnings("error")
def test_read_only_and_mirrored_arrays_are_taken(images):
    frozen = images.copy()
    frozen.flags.writeable = False
    assert torch.equal(normalise(frozen), normalise(images))
    assert torch.equal(normalise(images[:, :, ::-1]), normalise(images).flip(-1))


@pytest.mark.parametrize("architecture", [BAGNET, RESNET])
def test_logits_do_not_depend_on_the_batch_size_or_the_mode(images, architecture):
    model = new(architecture)
    whole = model.net.eval()(normalise(images)).detach().numpy()
    assert whole.std() > 0.01
    for batch_size in (1, 3, 7, 64):
        model = new(architecture, batch_size=batch_size)
        model.net.train()
        np.testing.assert_allclose(model.logits(images), whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.logits(images[:2]), whole[:2], rtol=1e-4, atol=1e-5)
    assert model.logits(images[:0]).shape == (0, 3)


def test_probabilities_are_the_softmax_of_the_logits(images):
    model = new(RESNET)
    power = np.exp(model.logits(images).astype(float))
    expected = power / power.sum(1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(images), expected, rtol=1e-5)


def test_predicting_leaves_the_network_as_it_was(images):
    model = new(BAGNET)
    model.net.train()
    model.net.layer1.eval()
    before = {key: value.clone() for key, value in model.net.state_dict().items()}
    modes = [module.training for module in model.net.modules()]
    model.logits(images)
    with pytest.raises(ValueError, match="at least q = 9"):
        model.logits(images[:, :8])
    assert [module.training for module in model.net.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.net.parameters())


def test_a_bagnet_is_a_bag_and_a_resnet_is_not(images):
    bag, other = new(BAGNET, batch_size=2), new(RESNET)
    assert isinstance(bag, mb.BagPredictor)
    assert isinstance(other, mb.Predictor)
    assert not isinstance(other, mb.BagPredictor)
    for batch in (images, images[:, :33, 7:]):
        evidence = bag.evidence(batch)
        assert evidence.shape == (7, 3, *bag.grid(batch.shape[1:3]).shape)
        np.testing.assert_allclose(evidence.mean((2, 3)), bag.logits(batch), rtol=1e-5, atol=1e-5)


def test_an_image_set_is_as_good_as_its_images(images):
    assert np.array_equal(new(RESNET).logits(mb.critters("val", 7, 40)), new(RESNET).logits(images))


def test_a_network_in_double_precision_stays_so(images):
    single, double = new(BAGNET), new(BAGNET)
    double.net.double()
    np.testing.assert_allclose(double.logits(images), single.logits(images), rtol=1e-3, atol=1e-5)
    assert next(double.net.parameters()).dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_it_runs_where_the_network_is(images):
    cpu, gpu = new(BAGNET), new(BAGNET)
    gpu.net.cuda()
    np.testing.assert_allclose(gpu.logits(images), cpu.logits(images), rtol=1e-2, atol=1e-3)


def test_what_is_no_image_is_refused(images):
    model = new(RESNET)
    for wrong in (images / 255, images.astype(np.int64)):
        with pytest.raises(TypeError, match="uint8"):
            model.logits(wrong)
    for wrong in (images[0], images[..., :2], images.transpose(0, 3, 1, 2)):
        with pytest.raises(ValueError, match=r"\(N, H, W, 3\)"):
            model.logits(wrong)


def torchvision_nets():
    """Small networks, whose last layers are called and made in different ways."""
    models = torchvision.models
    yield "classifier.3", lambda: models.mobilenet_v3_small(num_classes=3)
    yield "classifier.1, a convolution", lambda: models.squeezenet1_1(num_classes=3)
    yield "classifier", lambda: models.DenseNet(4, (2, 2), 8, num_classes=3)
    yield "fc beside auxiliary heads", lambda: models.GoogLeNet(3, init_weights=False)
    yield "heads.head", lambda: models.VisionTransformer(224, 56, 1, 2, 16, 32, num_classes=3)
    yield "head", lambda: models.SwinTransformer([4, 4], 8, [1, 1], [1, 2], [7, 7], num_classes=3)
    yield "fc", lambda: models.shufflenet_v2_x0_5(num_classes=3)


@pytest.mark.parametrize("make", [pytest.param(f, id=name) for name, f in torchvision_nets()])
def test_networks_of_torchvision_are_predictors_whatever_their_last_layer_is(make):
    with torch.device("meta"):  # the weights do not matter, and take long to draw
        net = make()
    net = net.to_empty(device="cpu")
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.01, 0.02)
        else:
            tensor.zero_()
    model = as_predictor(net.train(), CLASSES, {})
    assert net.training
    image = mb.critters("val", 1, 224).images
    with torch.no_grad():
        expected = net.eval()(normalise(image)).numpy()
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(model.logits(image), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="3 logits for 2 classes"):
        as_predictor(net, CLASSES[:2], {})


def test_a_network_for_small_images_says_which_side_it_wants():
    net = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 24 * 24, 3))
    with pytest.raises(ValueError, match=r"no image of 224 x 224 .*card.*\{\"image_size\": side\}"):
        as_predictor(net, CLASSES, {})
    model = as_predictor(net, CLASSES, {}, {"image_size": 28})
    assert model.logits(np.zeros((2, 28, 28, 3), np.uint8)).shape == (2, 3)
    for side in (0, -3, 10**9, True, "28", None):
        with pytest.raises(ValueError, match='"image_size", the side'):
            as_predictor(net, CLASSES, {}, {"image_size": side})


class Two(nn.Module):
    """Gives more than logits, as networks with auxiliary heads do in training."""

    def forward(self, x):
        return x.mean((2, 3)), x


@pytest.mark.parametrize(
    ("net", "given"), [(Two(), "tuple"), (nn.Conv2d(3, 3, 1), r"\(1, 3, 224,")]
)
def test_a_network_that_gives_more_than_logits_is_refused(net, given):
    with pytest.raises(ValueError, match=rf"logits \(N, C\) alone from the network, got {given}"):
        as_predictor(net, CLASSES, {})


def test_a_bagnet_without_a_linear_last_layer_is_no_bag():
    net = build(BAGNET)
    net.fc = nn.Sequential(net.fc, nn.ReLU(), nn.Linear(3, 3))
    with pytest.raises(TypeError, match=r"fc must be nn\.Linear, not Sequential"):
        as_predictor(net, CLASSES, BAGNET)


def wrapped(net):
    yield torch.compile(net, backend="eager")
    yield nn.DataParallel(net)
    yield torch.compile(nn.DataParallel(net), backend="eager")


def test_a_wrapped_bagnet_stays_a_bag_that_can_be_saved(images, tmp_path):
    plain = new(BAGNET)
    for net in wrapped(plain.net):
        model = as_predictor(net, CLASSES, BAGNET, CARD)
        assert isinstance(model, mb.BagPredictor)
        assert np.array_equal(model.evidence(images), plain.evidence(images))
        assert np.array_equal(model.logits(images), plain.logits(images))
        model.save(tmp_path / "net.safetensors")
        assert np.array_equal(
            mb.load(tmp_path / "net.safetensors").logits(images), plain.logits(images)
        )
        assert (
            mb.receptive_field(net)
            == mb.probe_receptive_field(net)
            == mb.receptive_field(plain.net)
        )
        assert isinstance(mb.nets.folded(net), BagNet)


@pytest.mark.parametrize("architecture", [BAGNET, RESNET])
def test_a_network_whose_kernels_lie_with_channels_last_is_saved(images, tmp_path, architecture):
    model = new(architecture)
    model.net.to(memory_format=torch.channels_last)
    assert any(not v.is_contiguous() for v in model.net.state_dict().values())
    model.save(tmp_path / "net.safetensors")
    again = mb.load(tmp_path / "net.safetensors").net.state_dict()
    assert all(torch.equal(v, again[k]) for k, v in model.net.state_dict().items())


def test_normalised_images_lie_channel_by_channel(images):
    assert normalise(images).is_contiguous()
    assert normalise(torch.from_numpy(images)).is_contiguous()


def test_names_and_logits_must_be_as_many():
    with pytest.raises(ValueError, match="3 logits for 2 classes"):
        as_predictor(build(RESNET), CLASSES[:2], RESNET)


@pytest.fixture
def home(tmp_path):
    new(BAGNET).save(tmp_path / "bag.safetensors")
    return tmp_path


@pytest.mark.parametrize("architecture", [BAGNET, RESNET])
def test_what_was_saved_is_loaded(images, tmp_path, architecture):
    path, model = tmp_path / "net.safetensors", new(architecture)
    model.net.train()
    model.save(path)
    again = mb.load(path)
    assert type(again) is type(model)
    assert not again.net.training
    assert again.classes == CLASSES
    assert again.architecture == architecture
    assert again.image_size == 40
    assert {key: again.card[key] for key in CARD} == CARD
    assert again.card["parameters"] == sum(p.numel() for p in again.net.parameters())
    assert all(torch.equal(v, again.net.state_dict()[k]) for k, v in model.net.state_dict().items())
    assert np.array_equal(again.logits(images), model.logits(images))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.json", "net.safetensors"]
    again.net(normalise(images)).sum().backward()  # it can be trained further


def test_a_model_says_how_photographs_are_read_for_it():
    model = new(RESNET)
    assert model.preparation == {"size": 40, "crop": 1.0}  # as cards without a word on it meant
    model.card["crop"] = 0.875
    assert model.preparation == {"size": 40, "crop": 0.875}
    for nonsense in (None, "7/8", True, 0, 0.01, 2, float("nan")):
        model.card["crop"] = nonsense
        with pytest.raises(ValueError, match='"crop" on the card'):
            _ = model.preparation


def test_a_loaded_model_saves_to_the_same_bytes(home):
    mb.load(home / "bag.safetensors").save(home / "copy.safetensors")
    for kind in ("safetensors", "json"):
        assert (home / f"copy.{kind}").read_bytes() == (home / f"bag.{kind}").read_bytes()


def test_half_precision_halves_the_kernels_and_hardly_changes_the_logits(images, tmp_path):
    architecture = {**BAGNET, "width": 16}
    model = new(architecture)
    model.save(tmp_path / "full.safetensors")
    model.save(tmp_path / "half.safetensors", half=True)
    full, half = (tmp_path / f"{n}.safetensors" for n in ("full", "half"))
    assert half.stat().st_size < 0.6 * full.stat().st_size
    kept = {v.dtype for k, v in load_file(half).items() if "bn" in k and "num" not in k}
    assert kept == {torch.float32}
    again = mb.load(half)
    assert {p.dtype for p in again.net.parameters()} == {torch.float32}
    np.testing.assert_allclose(again.logits(images), model.logits(images), atol=5e-3)


def test_what_cannot_be_loaded_again_is_not_saved(tmp_path):
    path = tmp_path / "net.safetensors"
    model = new(RESNET)
    for name in ("net.json", "net", "net.model"):
        with pytest.raises(ValueError, match=r"NAME\.safetensors"):
            model.save(tmp_path / name)
    with pytest.raises(ValueError, match="image_size"):
        as_predictor(model.net, CLASSES, RESNET).save(path)
    with pytest.raises(ValueError, match=r"\(3, 16\) in the architecture, \(3, 8\) in the weights"):
        as_predictor(model.net, CLASSES, {**RESNET, "width": 8}, CARD).save(path)
    nn.init.constant_(model.net.fc.weight, 1e5)
    with pytest.raises(ValueError, match=r"NaN in fc\.weight"):
        model.save(path, half=True)
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """What no code catches."""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_save_that_is_killed_leaves_a_model_that_loads(home, images, renames, monkeypatch):
    """Killed before the first of the two files gets its name, between the two, or after."""
    path, model = home / "bag.safetensors", new(BAGNET, seed=1)
    model.card["seed"] = 4
    expected = (model if renames else mb.load(path)).logits(images)
    done, rename = [], Path.replace

    def replace(part, target):
        if len(done) == renames:
            raise Killed
        done.append(rename(part, target))

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(Path, "replace", replace)
        model.save(path)
    assert len(done) == renames
    told = pytest.warns(UserWarning, match=r"bag\.json is not the card inside .*bag\.safetensors")
    with told if renames == 1 else nullcontext():  # the new weights, and the old card beside them
        again = mb.load(path)
    assert again.card["seed"] == (4 if renames else 3)
    assert np.array_equal(again.logits(images), expected)


def test_a_network_is_whole_in_one_file(home, images):
    expected = mb.load(home / "bag.safetensors")
    (home / "bag.json").unlink()
    alone = mb.load(home / "bag.safetensors")
    assert alone.card == expected.card
    assert np.array_equal(alone.logits(images), expected.logits(images))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seed": 4}', "[" * 100_000])
def test_a_changed_card_beside_the_file_does_not_count_and_is_told(home, text):
    (home / "bag.json").write_text(text)
    with pytest.warns(UserWarning, match="alone counts: save the model again"):
        assert mb.load(home / "bag.safetensors").card["seed"] == 3


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def age(path):
    """Write a file as older versions did: with its card beside it alone."""
    save_file(load_file(path), path, {KIND: ""})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(path.with_suffix(".json"), sha256=digest)


def forge(path, **changes):
    """Change the card inside a file, as somebody would who knows how."""
    arrays, card = read_net(path)
    write_net(path, arrays, {**card, **changes})


@pytest.mark.parametrize("old", [False, True])
def test_a_damaged_file_is_refused(home, old):
    path = home / "bag.safetensors"
    if old:
        age(path)
    data = path.read_bytes()
    flipped, renamed = bytearray(data), data.replace(b"frog", b"frig")
    flipped[-5] ^= 1
    for wrong in (b"", b"text", data[:100], data[:-1], data + b"0", bytes(flipped), renamed):
        path.write_bytes(wrong)
        if wrong == data:  # the old file says nothing of frogs
            continue
        with pytest.raises(ValueError, match="damaged"):
            mb.load(path)


def test_a_file_of_older_days_is_loaded_with_the_card_beside_it(home, images):
    path = home / "bag.safetensors"
    expected = mb.load(path)
    age(path)
    again = mb.load(path)
    assert again.card == expected.card
    assert np.array_equal(again.logits(images), expected.logits(images))


def test_the_card_of_another_model_is_refused_beside_an_older_file(home):
    new(RESNET).save(home / "res.safetensors")
    age(home / "bag.safetensors")
    age(home / "res.safetensors")
    (home / "res.json").replace(home / "bag.json")
    with pytest.raises(ValueError, match=r"bag\.json does not describe .*sha256 differs"):
        mb.load(home / "bag.safetensors")
    with pytest.raises(FileNotFoundError, match=r"card .*res\.json is missing"):
        mb.load(home / "res.safetensors")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": RESNET}, "bn1.bias is missing in the architecture"),
        (
            {"architecture": {**BAGNET, "width": 5}},
            "bn1.bias is .5,. in the architecture, .4,. in the weights",
        ),
        (
            {"architecture": {**BAGNET, "layers": [1, 1, 1, 1]}},
            "layer3.1.* is missing in the architecture",
        ),
        ({"architecture": {"name": "alexnet"}}, "alexnet"),
        ({"architecture": None}, "NoneType"),
        ({"architecture": {"name": ["bagnet"]}}, "the name of an architecture is one of"),
        ({"architecture": {**BAGNET, "patch_size": []}}, "no bagnet can be built from"),
        *(
            ({"architecture": {**BAGNET, "layers": layers}}, "too few for the layers")
            for layers in ([20_000] * 4, [1, 1, 1, 10**30], [0] * 1000, [float("inf")])
        ),
        *(({"architecture": {**BAGNET, "layers": wrong}}, "Error") for wrong in (7, [None], ["1"])),
        ({"architecture": {**BAGNET, "width": 10**30}}, "no bagnet can be built from"),
        ({"architecture": {**BAGNET, "num_classes": 10**12}}, "1000000000000,.* in the arch"),
        ({"classes": ["fish", "frog"]}, "3 logits for 2 classes"),
        ({"classes": ["fish", "frog", "fish"]}, "'fish' stands twice"),
        *(
            ({"classes": wrong}, "expected the names of the classes as texts")
            for wrong in (None, [], 3, "abc", {"a": 1}, [None] * 3, [1, 2, 3])
        ),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_a_card_that_does_not_fit_is_refused(home, changes, reason, old):
    path = home / "bag.safetensors"
    forge(path, **changes)
    if old:
        age(path)
    with pytest.raises(
        ValueError, match=rf"card of .*bag.* does not describe .*{reason}"
    ) as caught:
        mb.load(path)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["fc.bias", "layer1.0.bn1.running_var"])
def test_numbers_that_are_not_finite_are_not_loaded(home, name, value):
    arrays, card = read_net(home / "bag.safetensors")
    arrays[name][1] = value
    write_net(home / "bag.safetensors", arrays, card)
    with pytest.raises(ValueError, match=rf"infinities or NaN in {name}"):
        mb.load(home / "bag.safetensors")


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.int64, torch.complex64])
def test_weights_that_are_no_floats_are_not_loaded(home, dtype):
    arrays, card = read_net(home / "bag.safetensors")
    write_net(home / "bag.safetensors", {**arrays, "fc.bias": torch.zeros(3, dtype=dtype)}, card)
    with pytest.raises(
        ValueError, match=rf"fc.bias is .3,. in the .*, .3,. {dtype} in the weights"
    ):
        mb.load(home / "bag.safetensors")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "[" * 100_000])
def test_a_card_that_is_none_is_refused(home, text):
    age(home / "bag.safetensors")
    (home / "bag.json").write_text(text)
    with pytest.raises(ValueError, match=r"bag\.json does not describe"):
        mb.load(home / "bag.safetensors")


def test_foreign_and_missing_files_are_refused(tmp_path):
    save_file({"weight": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="something else than a model of minibag"):
        mb.load(tmp_path / "foreign.safetensors")
    for name in (tmp_path / "no.safetensors", "bagnet99", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no model .*one of the models"):
            mb.load(name)


def test_word_models_are_loaded_by_the_same_function(tmp_path):
    train = mb.critters("train", 32, 32)
    words = mb.BagOfVisualWords(mb.DenseSIFT(8), 8).fit(train)
    words.save(tmp_path / "bow.model")
    again = mb.load(str(tmp_path / "bow.model"))
    assert isinstance(again, mb.BagOfVisualWords)
    assert np.array_equal(again.logits(train), words.logits(train))


def test_a_bagnet_from_a_file_makes_exact_maps(home, images):
    net = mb.load(home / "bag.safetensors").net
    assert isinstance(net, BagNet)
    assert net.with_stride(1).grid((40, 40)).shape == (32, 32)
