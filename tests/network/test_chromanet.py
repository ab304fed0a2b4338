"""ChromaNet: shapes, norms, what a transposition does, stochastic depth."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from random_models import random_stone  # noqa: E402

from stonekey.model.settings import Architecture  # noqa: E402
from stonekey.network.chromanet import LONG_FRAMES, PART, ChromaNet, ConvNeXtBlock, TimeDownsampling  # noqa: E402
from stonekey.network.stone import Stone  # noqa: E402
from stonekey.training.views import crop  # noqa: E402


def spectrum(batch: int, frames: int, bins: int = 84, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 1, bins, frames, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("outputs", "norm"), [(12, "frame"), (24, "joint"), (12, "joint"),
                                               (24, "frame")])  # fmt: skip
@pytest.mark.parametrize("frames", [128, 129, 255, 646])
def test_shapes(outputs: int, norm: str, frames: int) -> None:
    network = ChromaNet(Architecture(outputs=outputs, norm=norm)).eval()
    x = spectrum(2, frames)
    with torch.inference_mode():
        assert network.features(x).shape == (2, 3, 84, frames // 128)
        assert network.pool(network.features(x)).shape == (2, 3, 12, 1)
        logits = network(x)
        probabilities = network.probabilities(logits)
    assert logits.shape == (2, outputs)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(2))


def test_sizes_of_the_published_models() -> None:
    def values(network: ChromaNet) -> tuple[int, int]:
        parameters = sum(p.numel() for p in network.parameters())
        return parameters, sum(b.numel() for b in network.buffers())

    assert values(ChromaNet(Architecture(outputs=24, norm="joint"))) == (47_284, 5)
    assert values(ChromaNet(Architecture(outputs=12, norm="frame"))) == (89_952, 0)


def test_other_sizes() -> None:
    small = Architecture(outputs=12, norm="frame", channels=(4, 8), kernels=(3, 5))
    network = ChromaNet(small, bins=60).eval()
    assert small.min_frames == 4
    assert network(spectrum(3, 9, bins=60)).shape == (3, 12)


def loud_later() -> torch.Tensor:
    return torch.randn(2, 3, 84, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 9)


def test_frame_norm() -> None:
    """Each frame over (bins, channels), with weights in the layout of the published files."""
    down = TimeDownsampling("frame", 84, 3, 5)
    weight, bias = torch.randn(84, 3), torch.randn(84, 3)
    down.norm.load_state_dict({"weight": weight, "bias": bias})
    x = loud_later()
    variance, mean = torch.var_mean(x, dim=(1, 2), keepdim=True, correction=0)
    normed = (x - mean) / torch.sqrt(variance + 1e-5)
    normed = normed * weight.t()[..., None] + bias.t()[..., None]
    expected = torch.nn.functional.gelu(down.conv(normed))
    assert torch.allclose(down(x), expected, atol=1e-5)
    # A frame's answer does not depend on the others.
    assert torch.allclose(down(x)[..., :2], down(x[..., :4]), atol=1e-5)


def test_joint_norm() -> None:
    """All of (channels, bins, frames) together, no weights: depends on the length."""
    down = TimeDownsampling("joint", 84, 3, 5)
    assert not down.norm.state_dict()
    x = loud_later()
    variance, mean = torch.var_mean(x, dim=(1, 2, 3), keepdim=True, correction=0)
    normed = (x - mean) / torch.sqrt(variance + 1e-5)
    expected = torch.nn.functional.gelu(down.conv(normed))
    assert torch.allclose(down(x), expected, atol=1e-5)
    assert not torch.allclose(down(x)[..., :2], down(x[..., :4]), atol=1e-2)


def test_octaves_are_pooled_and_rows_come_first() -> None:
    network = random_stone("joint").chromanet
    features = torch.randn(2, 3, 84, 5)
    pooled = network.pool(features)
    for pitch_class in range(12):
        mean = features[:, :, pitch_class::12].mean(dim=(2, 3))
        assert torch.allclose(pooled[:, :, pitch_class, 0], mean, atol=1e-6)
    logits = network.classify(pooled)
    rows = network.batch_norm(network.classifier(pooled))
    for row in range(2):
        assert torch.equal(logits[:, 12 * row : 12 * row + 12], rows[:, row, :, 0])


def framed_content(frames: int = 200) -> torch.Tensor:
    """99 bins at the floor but for 21 in the middle: no crop brings them near an edge.

    A bin is seen from 19 bins away (the kernels' radii add up to that), so that both edges
    of every crop stay constant and replicate padding continues them.
    """
    x = torch.full((2, 1, 99, frames), 0.1)
    x[:, :, 40:61] = spectrum(2, frames, bins=21, seed=3)
    return x


def shift_error(network: ChromaNet) -> float:
    """Largest difference between outputs for a raised crop and outputs rotated."""
    x = framed_content()
    with torch.inference_mode():
        base = network(x[:, :, :84]).unflatten(1, (-1, 12))
        errors = [
            (network(x[:, :, c : c + 84]).unflatten(1, (-1, 12)) - base.roll(-c, dims=2)).abs()
            for c in range(1, 16)
        ]
    assert base.std() > 0.05  # a constant answer would pass anything
    return float(torch.stack(errors).max())


def test_crops_rotate_the_outputs_of_the_joint_norm() -> None:
    """A crop a bin higher sounds a semitone lower: every row turns by one, exactly."""
    assert shift_error(random_stone("joint").chromanet) < 1e-4


@pytest.mark.parametrize("per_octave", [24, 36])
def test_semitones_of_several_bins_rotate_the_outputs(per_octave: int) -> None:
    """The same with two or three bins to a semitone, and with a harmonic an octave up."""
    step = per_octave // 12
    torch.manual_seed(0)
    network = ChromaNet(Architecture(kernels=(3,) * 7), 72 * step, per_octave, inputs=2).eval()

    def answers(semitones: int) -> torch.Tensor:
        seen = crop(x, torch.full((2,), semitones), 72 * step, step, (0, per_octave))
        return network(seen).unflatten(1, (-1, 12))

    x = torch.full((2, 1, 99 * step, 200), 0.1)
    x[:, :, 40 * step : 61 * step] = spectrum(2, 200, bins=21 * step, seed=3)
    with torch.inference_mode():
        network.classifier.weight.mul_(30)
        for block in network.convnext_blocks:
            block.gamma.fill_(1.0)
        base = answers(0)
        for c in (1, 7, 14):
            torch.testing.assert_close(answers(c), base.roll(-c, dims=2), rtol=0, atol=1e-4)
    assert base.std() > 0.05


def test_crops_rotate_the_outputs_of_the_untrained_frame_norm_only() -> None:
    network = random_stone("frame").chromanet
    trained = shift_error(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("norm.weight"):
                parameter.fill_(1.0)
            elif name.endswith("norm.bias"):
                parameter.fill_(0.0)
    assert shift_error(network) < 1e-4
    assert trained > 1e-2  # its weights differ from bin to bin


def test_edges_break_the_rotation() -> None:
    """Content at the edge of a crop leaves it: equivariance is approximate on real music."""
    network = random_stone("joint").chromanet
    x = spectrum(2, 200, bins=99)
    with torch.inference_mode():
        base, raised = network(x[:, :, :84]), network(x[:, :, 1:85])
    rolled = base.unflatten(1, (-1, 12)).roll(-1, dims=2).flatten(1)
    assert (raised - rolled).abs().max() > 1e-3


@pytest.mark.parametrize(
    "shape", [(1, 84, 200), (1, 2, 84, 200), (1, 1, 99, 200), (84, 200), (1, 1, 1, 84, 200)]
)
def test_bad_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(batch, 1, 84, frames\)"):
        random_stone("joint").chromanet(torch.zeros(shape))


@pytest.mark.parametrize("frames", [0, 1, 127])
def test_too_few_frames_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match="at least 128 frames"):
        random_stone("joint").chromanet(torch.zeros(1, 1, 84, frames))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"outputs": 13}, "outputs"),
        ({"norm": "batch"}, "norm"),
        ({"kernels": (7, 7)}, "equally many"),
        ({"kernels": (7, 7, 7, 7, 7, 5, 4)}, "odd"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_bad_architectures_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Architecture(**settings)


def test_bins_must_be_octaves() -> None:
    with pytest.raises(ValueError, match="whole octaves"):
        ChromaNet(bins=80)


def test_stochastic_depth_drops_whole_samples_in_training_only() -> None:
    torch.manual_seed(0)
    block = ConvNeXtBlock("joint", 84, 3, 5, drop_path=0.25)
    x = torch.randn(1, 3, 84, 4).repeat(400, 1, 1, 1)
    with torch.no_grad():
        branch = block.eval()(x[:1]) - x[:1]
        assert branch.abs().max() > 1e-3
        change = block.train()(x) - x
    dropped = (change == 0).flatten(1).all(dim=1)
    kept = torch.isclose(change, branch / 0.75, atol=1e-5).flatten(1).all(dim=1)
    assert (dropped ^ kept).all()
    assert 65 < int(dropped.sum()) < 135  # 100 expected, standard deviation 8.7
    with torch.no_grad():
        assert torch.equal(block.eval()(x), block(x))


def test_gradients_where_samples_are_dropped() -> None:
    """What is dropped is not computed: the gradients are those of a product with 0 or 1 / keep."""
    torch.manual_seed(0)
    block = ConvNeXtBlock("joint", 84, 3, 5, drop_path=0.5).double().train()
    x = torch.randn(6, 3, 84, 4, dtype=torch.float64, requires_grad=True)
    wanted = [x, *block.parameters()]
    y = block(x)
    kept = (y != x).flatten(1).any(dim=1)
    assert 0 < int(kept.sum()) < 6
    upper = torch.randn_like(y)
    ours = torch.autograd.grad(y, wanted, upper)
    branch = block.eval()(x) - x
    expected = x + branch * kept[:, None, None, None] / 0.5
    assert torch.allclose(y, expected, atol=1e-12)
    for a, b in zip(ours, torch.autograd.grad(expected, wanted, upper), strict=True):
        assert torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("norm", ["joint", "frame"])
def test_all_samples_dropped(norm: str) -> None:
    """Every parameter still has a gradient, as processes that share their gradients need."""
    block = ConvNeXtBlock(norm, 84, 3, 5, drop_path=1.0 - 1e-7).train()
    x = torch.randn(2, 3, 84, 4, requires_grad=True)
    y = block(x)
    y.sum().backward()
    assert torch.equal(y, x)
    assert torch.equal(x.grad, torch.ones_like(x))
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_without_drop_path_training_is_deterministic() -> None:
    block = ConvNeXtBlock("joint", 84, 3, 5, drop_path=0.0).train()
    x = torch.randn(4, 3, 84, 4)
    assert torch.equal(block(x), block.eval()(x))


def test_row_batch_norm_is_torchs() -> None:
    """State and outputs of ``nn.BatchNorm2d``, whose published statistics it loads."""
    ours = ChromaNet(Architecture(outputs=24)).batch_norm.train()
    theirs = torch.nn.BatchNorm2d(2, affine=False).train()
    for seed in range(3):
        x = torch.randn(5, 2, 12, 1, generator=torch.Generator().manual_seed(seed)) * 3 + 1
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-6), name
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    for norm in ("joint", "frame"):
        network = random_stone(norm, drop_path=0.0).chromanet.train()
        log_probabilities = network.probabilities(network(spectrum(3, 130))).log()
        log_probabilities[:, 3].sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            # Softmax and batch norm take a constant away, so these cannot matter.
            constant = name in ("classifier.bias", "convnext_blocks.6.pwconv2.bias")
            assert parameter.grad.abs().max() > 0 or constant, name


def test_temperature_sharpens() -> None:
    cold = ChromaNet(Architecture(temperature=0.5))
    logits = torch.randn(2, 24)
    assert torch.allclose(cold.probabilities(logits), torch.softmax(2 * logits, dim=1))


def test_stone_checks_its_class_table() -> None:
    table = random_stone("joint").class_table
    assert table is not None
    with pytest.raises(ValueError, match="24 entries for 12 outputs"):
        Stone(architecture=Architecture(outputs=12), class_table=table)


def test_stone_is_front_end_then_network() -> None:
    stone = random_stone("joint")
    waveform = torch.randn(2, 70_000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        x = stone.log_vqt(waveform)[:, :, :84]
        expected = torch.softmax(stone.chromanet(x), dim=1)
        assert torch.allclose(stone(waveform), expected, atol=1e-6)


def test_long_batches_in_parts_have_the_gradients_of_the_whole() -> None:
    torch.manual_seed(0)
    net = ChromaNet(Architecture(outputs=12, norm="joint", drop_path=0.0)).train()
    x = torch.rand(PART + 2, 1, 84, LONG_FRAMES)
    whole = net.classify(net.pool(net.features(x)))
    (expected,) = torch.autograd.grad(whole.square().sum(), [net.classifier.weight])
    parts = net(x)
    (found,) = torch.autograd.grad(parts.square().sum(), [net.classifier.weight])
    assert torch.allclose(parts, whole, atol=1e-5)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
