"""ONNX files: the same numbers as torch, everything inside, standard operators only."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

torch = pytest.importorskip("torch")

from random_models import random_checkpoint  # noqa: E402

from stonekey.estimate.backends import OnnxBackend, TorchBackend, load_backend  # noqa: E402
from stonekey.graph.export import export_onnx, onnx_bytes  # noqa: E402
from stonekey.graph.template import write_models  # noqa: E402
from stonekey.keys import Key  # noqa: E402
from stonekey.model.checkpoint import CheckpointError, save_checkpoint  # noqa: E402
from stonekey.model.info import ModelInfo  # noqa: E402
from stonekey.model.settings import Architecture, FrontEnd, Norm  # noqa: E402
from stonekey.network.stone import Stone  # noqa: E402
from stonekey.synthesis import cadence  # noqa: E402

RATE = 22050
PUBLISHED = ("semitone_ks", "semisupervised_ks_mode", "skey")


def waveform(batch: int, samples: int, seed: int) -> np.ndarray:
    """Half noise, half music: no bin is left to rounding alone."""
    rng = np.random.default_rng(seed)
    noise = 0.05 * rng.standard_normal((batch, samples))
    for row, key in zip(noise, rng.integers(24, size=batch), strict=True):
        row += cadence(Key.from_index(int(key)), RATE, samples / RATE, seed=seed)[:samples]
    return noise.astype(np.float32)


def backends(path: Path, folder: Path) -> tuple[OnnxBackend, TorchBackend]:
    exported = export_onnx(path, folder / "exported.onnx")
    return OnnxBackend(exported), TorchBackend(path)


def assert_agree(onnx_backend: OnnxBackend, torch_backend: TorchBackend, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = [3 * RATE, 20 * RATE, *rng.integers(65_536, 20 * RATE, size=3).tolist()]
    batches = [3, 1, 1, 2, 1]
    for number, (length, batch) in enumerate(zip(lengths, batches, strict=True)):
        audio = waveform(batch, length, seed + number)
        a, b = onnx_backend.run(audio), torch_backend.run(audio)
        assert a.shape == b.shape
        assert a.dtype == b.dtype == np.float32
        assert np.abs(a - b).max() < 1e-5, (length, batch)
        assert np.allclose(a.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("norm", ["joint", "frame"])
def test_random_networks(tmp_path: Path, norm: str) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint(norm, seed=5), path)
    assert_agree(*backends(path, tmp_path), seed=1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "golden" / "checkpoints" / f"{name}.pt"
    assert_agree(*backends(path, tmp_path), seed=2)


def test_other_settings(tmp_path: Path) -> None:
    """Rate, hop, bins, widths and temperature all reach the graph."""
    torch.manual_seed(0)
    front_end = FrontEnd(
        sample_rate=16000,
        hop=256,
        n_bins=92,
        fmin=30.0,
        crop_bins=60,
        segment_seconds=8.0,
        average=3,
    )
    architecture = Architecture(
        outputs=12, norm="frame", channels=(4, 8, 2), kernels=(3, 5, 3), temperature=0.3
    )
    stone = Stone(front_end, architecture).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(stone.to_checkpoint("other"), path)
    ours, theirs = backends(path, tmp_path)
    audio = waveform(2, 40_001, 0)
    assert np.abs(ours.run(audio) - theirs.run(audio)).max() < 1e-5
    assert ours.info == theirs.info
    assert ours.info.front_end == front_end
    assert ours.info.class_table is None


@pytest.mark.parametrize(("outputs", "norm"), [(24, "joint"), (12, "frame")])
def test_several_bins_to_a_semitone_and_harmonics(tmp_path: Path, outputs: int, norm: Norm) -> None:
    torch.manual_seed(0)
    front_end = FrontEnd(
        bins_per_octave=24, n_bins=150, crop_bins=96, segment_seconds=4.0, harmonics=(1, 2, 4)
    )
    architecture = Architecture(outputs=outputs, norm=norm, channels=(4, 8, 2), kernels=(3, 5, 3))
    stone = Stone(front_end, architecture).eval()
    path = tmp_path / "model.safetensors"
    save_checkpoint(stone.to_checkpoint("finer"), path)
    ours, theirs = backends(path, tmp_path)
    audio = waveform(1, 88_200, 0)
    assert np.abs(ours.run(audio) - theirs.run(audio)).max() < 1e-5
    assert ours.info.front_end == theirs.info.front_end == front_end


@pytest.mark.parametrize("samples", [65_536, 65_537, 66_047, 66_048, 70_001, 131_071])
def test_every_length(tmp_path: Path, samples: int) -> None:
    """Blocks of the decimation that fit the input, and ones that do not."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint("joint"), path)
    ours, theirs = backends(path, tmp_path)
    audio = waveform(1, samples, samples)
    assert np.abs(ours.run(audio) - theirs.run(audio)).max() < 1e-5


def test_batch_items_do_not_touch(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint("joint"), path)
    ours = OnnxBackend(export_onnx(path, tmp_path / "m.onnx"))
    audio = waveform(3, 70_000, 0)
    audio[1] *= 0.01
    alone = np.concatenate([ours.run(audio[i : i + 1]) for i in range(3)])
    assert np.abs(ours.run(audio) - alone).max() < 1e-5


def test_silence_gives_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint("joint"), path)
    for backend in (
        *backends(path, tmp_path),
        load_backend("template"),
        load_backend("template12"),
    ):
        outputs = backend.run(np.zeros((1, 70_000), np.float32))
        assert np.isfinite(outputs).all()
        assert outputs.sum() == pytest.approx(1, abs=1e-5)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint("joint", omega=7, licence="MIT"), path)
    exported = export_onnx(path, tmp_path / "m.onnx")
    model = onnx.load(str(exported))
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["front_end"])["sample_rate"] == RATE
    assert json.loads(metadata["front_end"])["segment_seconds"] == 15.0
    assert json.loads(metadata["class_table"])[:3] == ["C major", "Db major", "D major"]
    assert json.loads(metadata["omega"]) == 7
    assert metadata["licence"] == "MIT"
    assert ModelInfo.from_metadata(metadata) == OnnxBackend(exported).info

    def shape(value: onnx.ValueInfoProto) -> tuple[str, list[str | int]]:
        dims = value.type.tensor_type.shape.dim
        return value.name, [d.dim_param or d.dim_value for d in dims]

    assert [shape(v) for v in model.graph.input] == [("waveform", ["batch", "samples"])]
    assert [shape(v) for v in model.graph.output] == [("probabilities", ["batch", 24])]


def test_only_standard_operators(tmp_path: Path) -> None:
    checkpoints = []
    for norm in ("joint", "frame"):
        checkpoints.append(tmp_path / f"{norm}.safetensors")
        save_checkpoint(random_checkpoint(norm), checkpoints[-1])
    models = [onnx.load_from_string(onnx_bytes(path)) for path in checkpoints]
    models += [onnx.load(str(load_file)) for load_file in embedded_files()]
    for model in models:
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
        assert {node.domain for node in model.graph.node} == {""}
        assert not model.functions
        for node in model.graph.node:
            assert onnx.defs.has(node.op_type, max_inclusive_version=18), node.op_type


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "m.onnx"
    target.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"m\.onnx"):
        export_onnx("template", target)
    assert target.read_bytes() == b"precious"
    export_onnx("template", target, force=True)
    assert OnnxBackend(target).info.name == "template"
    assert list(tmp_path.iterdir()) == [target]


def test_export_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model"):
        export_onnx(tmp_path / "none.pt", tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"key: C", bytes(100)])
def test_files_that_are_no_model(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"bad\.onnx"):
        OnnxBackend(path)


def test_onnx_files_of_others_are_refused(tmp_path: Path) -> None:
    model = onnx.load(str(embedded_files()[0]))
    del model.metadata_props[:]
    path = tmp_path / "other.onnx"
    onnx.save(model, str(path))
    with pytest.raises(CheckpointError, match="not a stonekey model"):
        OnnxBackend(path)


def test_torch_needs_a_checkpoint(tmp_path: Path) -> None:
    """Beside an ONNX file, a checkpoint of the same name serves torch."""
    checkpoint = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint("joint"), checkpoint)
    exported = export_onnx(checkpoint, tmp_path / "model.onnx")
    assert TorchBackend(exported).info.name == "random"
    checkpoint.unlink()
    with pytest.raises(CheckpointError, match="only on ONNX Runtime"):
        TorchBackend(exported)


def test_devices(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'cuda' needs torch"):
        load_backend("template", device="cuda", backend="onnx")
    with pytest.raises(ValueError, match="backend"):
        load_backend("template", backend="jax")  # type: ignore[arg-type]
    path = tmp_path / "model.safetensors"
    save_checkpoint(random_checkpoint("joint"), path)
    with pytest.raises(CheckpointError, match="cannot run on 'nonsense'"):
        load_backend(path, device="nonsense")


def embedded_files() -> list[Path]:
    from stonekey.model.registry import EMBEDDED

    return [model.path for model in EMBEDDED if model.name.startswith("template")]


def test_embedded_templates_are_what_the_code_builds(tmp_path: Path) -> None:
    """Structure and metadata exactly; numbers as far as mathematics libraries agree."""
    write_models(tmp_path)
    assert len(embedded_files()) == 2
    for path in embedded_files():
        shipped, built = onnx.load(str(path)), onnx.load(str(tmp_path / path.name))
        assert list(shipped.graph.node) == list(built.graph.node)
        assert list(shipped.metadata_props) == list(built.metadata_props)
        assert len(shipped.graph.initializer) == len(built.graph.initializer)
        for a, b in zip(shipped.graph.initializer, built.graph.initializer, strict=True):
            assert a.name == b.name
            x, y = numpy_helper.to_array(a), numpy_helper.to_array(b)
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-8)
