"""Crops and transposition draws."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from stonekey.training import views  # noqa: E402


def spectrum(batch: int, frames: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 1, 99, frames, generator=torch.Generator().manual_seed(seed))


def chi_squared(counts: torch.Tensor) -> float:
    expected = counts.sum() / counts.numel()
    return float(((counts - expected) ** 2 / expected).sum())


def test_every_pair_of_crops_is_equally_likely() -> None:
    crops = views.random_crops(256 * 400, torch.Generator().manual_seed(1))
    assert crops.first.min() == crops.second.min() == 0
    assert crops.first.max() == crops.second.max() == 15
    # 99.9 % points of chi squared with 255 and 15 degrees of freedom: 330.5 and 37.7.
    assert chi_squared(torch.bincount(crops.first * 16 + crops.second, minlength=256)) < 330.5
    assert chi_squared(torch.bincount(crops.first, minlength=16)) < 37.7
    assert chi_squared(torch.bincount(crops.second, minlength=16)) < 37.7


def test_supervised_shift_is_uniform() -> None:
    crops = views.random_crops(16_000, torch.Generator().manual_seed(2))
    x, labels = torch.zeros(16_000, 1, 99, 1), torch.zeros(16_000, 12)
    shift = views.supervised_views(x, labels, crops).shift
    assert chi_squared(torch.bincount(shift, minlength=16)) < 37.7


@pytest.mark.parametrize(("bins", "crop_bins"), [(99, 84), (84, 84), (99, 72), (90, 84)])
def test_draws_stay_inside_the_spectrum(bins: int, crop_bins: int) -> None:
    count = bins - crop_bins + 1
    crops = views.random_crops(5000, torch.Generator().manual_seed(0), bins, crop_bins)
    fixed = views.fixed_crops(torch.arange(count**2), bins, crop_bins)
    for drawn in (crops.first, crops.second, fixed.first, fixed.second):
        assert set(drawn.tolist()) == set(range(count))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_views_are_slices(dtype: torch.dtype) -> None:
    a, b = spectrum(20, seed=1).to(dtype), spectrum(20, seed=2).to(dtype)
    crops = views.random_crops(20, torch.Generator().manual_seed(3))
    made = views.make_views(a, b, crops)
    assert made.a.shape == made.b.shape == made.c.shape == (20, 1, 84, 5)
    assert made.a.dtype == dtype
    for i, (c, c2) in enumerate(zip(crops.first.tolist(), crops.second.tolist(), strict=True)):
        assert torch.equal(made.a[i], a[i, :, c : c + 84])
        assert torch.equal(made.b[i], b[i, :, c : c + 84])
        assert torch.equal(made.c[i], a[i, :, c2 : c2 + 84])
        assert made.shift[i] == c2 - c


def test_view_c_sounds_lower_by_the_shift() -> None:
    """A single partial moves down by one bin for each semitone of shift."""
    x = torch.zeros(16, 1, 99, 3)
    x[:, :, 40] = 1
    crops = views.Crops(torch.full((16,), 4), torch.arange(16))
    made = views.make_views(x, x, crops)
    bin_a, bin_c = made.a.mean(-1).argmax(2), made.c.mean(-1).argmax(2)
    assert torch.equal(bin_a.squeeze(1) - bin_c.squeeze(1), made.shift)
    assert made.shift.tolist() == list(range(-4, 12))


def test_supervised_views() -> None:
    x, labels = spectrum(6), torch.eye(24)[[0, 23, 12, 11, 5, 5]]
    crops = views.random_crops(6, torch.Generator().manual_seed(5))
    made = views.supervised_views(x, labels, crops)
    assert torch.equal(made.a, labels)
    assert torch.equal(made.b, x[:, :, :84])
    assert torch.equal(made.shift, crops.second)
    for i, d in enumerate(made.shift.tolist()):
        assert torch.equal(made.c[i], x[i, :, d : d + 84])


def test_draws_come_from_the_generator_alone() -> None:
    first = views.random_crops(64, torch.Generator().manual_seed(7))
    torch.rand(1000)
    again = views.random_crops(64, torch.Generator().manual_seed(7))
    other = views.random_crops(64, torch.Generator().manual_seed(8))
    assert torch.equal(first.first, again.first)
    assert torch.equal(first.second, again.second)
    assert not torch.equal(first.first, other.first)
    before = torch.random.get_rng_state()
    views.random_crops(64, torch.Generator().manual_seed(7))
    assert torch.equal(before, torch.random.get_rng_state())


def test_fixed_crops_depend_on_the_item_alone() -> None:
    together = views.fixed_crops(torch.arange(1000))
    for i in (0, 1, 17, 999):
        alone = views.fixed_crops(torch.tensor([i]))
        assert alone.first.item() == together.first[i]
        assert alone.second.item() == together.second[i]


@pytest.mark.parametrize("start", [0, 1000, 2**40])
def test_fixed_crops_cover_all_pairs(start: int) -> None:
    crops = views.fixed_crops(start + torch.arange(256))
    assert len(set((crops.first * 16 + crops.second).tolist())) == 256
    # Small validation sets too see many transpositions.
    few = views.fixed_crops(start + torch.arange(24))
    assert len(set((few.second - few.first).tolist())) >= 10


def test_errors() -> None:
    crops = views.random_crops(2, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="cannot crop 84 bins out of 80"):
        views.make_views(torch.ones(2, 1, 80, 4), torch.ones(2, 1, 80, 4), crops)
    with pytest.raises(ValueError, match="3 samples"):
        views.make_views(spectrum(3), spectrum(3), crops)
    with pytest.raises(ValueError, match="log-VQT"):
        views.crop(torch.ones(2, 99, 4), crops.first)
    with pytest.raises(ValueError, match="labels"):
        views.supervised_views(spectrum(2), torch.zeros(3, 24), crops)


def test_views_stay_on_the_device_of_the_spectrum() -> None:
    """The meta device refuses to mix with the CPU, as a GPU does; crops are drawn on the CPU."""
    x, labels = spectrum(4).to("meta"), torch.zeros(4, 24)
    crops = views.random_crops(4, torch.Generator().manual_seed(0))
    for made in (views.make_views(x, x, crops), views.supervised_views(x, labels, crops)):
        assert {t.device.type for t in (made.a, made.b, made.c, made.shift)} == {"meta"}


def test_labels_of_music_that_sounds_lower() -> None:
    labels = torch.rand(3, 24)
    lower = views.lowered(labels, torch.tensor([0, 2, 15]))
    assert torch.equal(lower[0], labels[0])
    for row, shift in ((1, 2), (2, 3)):
        for first in (0, 12):
            part = labels[row, first : first + 12]
            assert torch.equal(lower[row, first : first + 12], part.roll(-shift))


def test_crops_of_semitones_that_have_several_bins() -> None:
    x = torch.arange(30.0).reshape(1, 1, 30, 1).expand(2, 1, 30, 3)
    assert views.n_crops(30, 24, 2) == 4
    drawn = views.random_crops(200, torch.Generator(), 30, 24, 2).second
    assert drawn.unique().tolist() == [0, 1, 2, 3]
    crops = views.Crops(torch.tensor([0, 3]), torch.tensor([2, 1]))
    made = views.make_views(x, x, crops, 24, 2)
    assert made.a[:, 0, 0, 0].tolist() == [0, 6]
    assert made.c[:, 0, 0, 0].tolist() == [4, 2]
    assert made.shift.tolist() == [2, -2]
