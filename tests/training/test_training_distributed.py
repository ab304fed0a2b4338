"""Two processes on the CPU: one result, one writer, and an end when one of them dies."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

gin = pytest.importorskip("gin")
torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("tensorboard")

from lightning_fabric import Fabric  # noqa: E402
from toy_music import (  # noqa: E402
    SMALL,
    random_batch,
    start_main,
    tiny_config,
    tiny_trainer,
    wait_for,
    write_music,
)

from stonekey.data.batch import TrainingBatch  # noqa: E402
from stonekey.data.batch_loader import DataError  # noqa: E402
from stonekey.training.loop import Trainer  # noqa: E402
from stonekey.training.own_loader import OwnLoader, validation_loader  # noqa: E402
from stonekey.training.views import Crops  # noqa: E402

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or os.name != "posix", reason="needs gloo and signals"
)
KINDS = ("ks", "stone", "supervised", "skey")


def part(batch: TrainingBatch, crops: Crops, rows: slice) -> tuple[TrainingBatch, Crops]:
    cut = [None if x is None else x[rows] for x in (batch.a, batch.b, batch.labels)]
    return TrainingBatch(*cut), Crops(crops.first[rows], crops.second[rows])  # type: ignore[arg-type]


def one_step(fabric: Fabric, kind: str, folder: Path) -> dict[str, torch.Tensor]:
    """Losses, gradients and running statistics of a step on this process's half of 6 items."""
    config = tiny_config(
        "ks" if kind == "ks" else "ks_mode",
        "ChromaNet.drop_path = 0.0",
        f"loss.objective = '{'skey' if kind == 'skey' else 'stone'}'",
    )
    base = tiny_trainer(folder, config)
    trainer = Trainer(fabric, config, base.plan, base.batches, base.validation)
    with torch.no_grad():  # well away from uniform answers, where gradients are small
        trainer.stone.chromanet.classifier.weight.mul_(30)
        for block in trainer.stone.chromanet.convnext_blocks:
            block.gamma.fill_(1.0)
    batch = random_batch(6, supervised=kind == "supervised", seed=3)
    crops = Crops(torch.tensor([0, 4, 9, 15, 2, 7]), torch.tensor([5, 4, 1, 0, 11, 15]))
    size = 6 // fabric.world_size
    rows = slice(fabric.global_rank * size, (fabric.global_rank + 1) * size)
    trainer.network.train()
    terms = trainer.objective(trainer.network, *part(batch, crops, rows))
    fabric.backward(terms["total"])
    out = {f"loss/{name}": torch.tensor(v) for name, v in trainer._reduced(terms).items()}
    # Validation: one process has two batches, the other none.
    shares = {1: [random_batch(2, seed=8), random_batch(3, seed=9)]}
    shares[2] = shares[1] if fabric.global_rank == 0 else []
    trainer.validation = lambda: iter(shares[fabric.world_size])
    network = trainer.stone.chromanet
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        out[f"gradient/{name}"] = parameter.grad.clone()
    out |= {f"buffer/{name}": value.clone() for name, value in network.named_buffers()}
    out |= {f"valid/{name}": torch.tensor(v) for name, v in trainer.validate().items()}
    values = trainer.train_step(part(batch, crops, rows)[0])
    out["finite"] = torch.tensor([values["total"]]).isfinite()
    out |= {f"weight/{name}": value.detach().clone() for name, value in network.named_parameters()}
    return out


def numbered(rows: int, start: int) -> dict:
    """A batch of users, each row with a number of its own, both kinds in turn."""
    numbers = torch.arange(start, start + rows, dtype=torch.float32)
    kinds = {"keymode": (["-1"] * rows,)} if start % 2 else {"keymode": ["C"] * rows, "more": 1}
    return {"audio": numbers[:, None, None].expand(rows, 4, 1 + start % 2), **kinds}


def plain():
    return [numbered(4, 0), numbered(5, 11)]


def shuffled():
    while True:
        yield numbered(4, int(torch.randint(1000, ())))
        yield numbered(4, int(np.random.randint(1000)))  # noqa: NPY002


class own_share:
    def __init__(self, rank: int, world_size: int, size: int = 2) -> None:
        self.starts, self.size = (100 * rank, 100 * rank + 10 * world_size), size

    def __iter__(self):
        return (numbered(self.size, start) for start in self.starts)


def different():
    return [numbered(4, int.from_bytes(os.urandom(3), "big"))]


def own_loaders(fabric: Fabric) -> dict[str, list]:
    """What each loader gives this process: numbers of the rows, and their labels."""
    found: dict[str, list] = {}
    # As gin gives a class: its own signature is hidden.
    with gin.unlock_config():
        wrapped = gin.external_configurable(own_share, name=f"own_share_{fabric.world_size}")
    for function in (plain, shuffled, wrapped):
        loader = OwnLoader(function, fabric, seed=1)
        batches = [next(loader) for _ in range(4)]
        found[function.__name__] = [(b["audio"][:, 0, 0].tolist(), b["keymode"]) for b in batches]
    state = loader.state_dict()
    try:
        next(OwnLoader(different, fabric, seed=1))
        found["different"] = []
    except DataError as error:
        found["different"] = [str(error)]
    found["validation"] = [
        b["audio"][:, 0, 0].tolist() for b in validation_loader(plain, fabric, seed=1)
    ]
    return {**found, "state": [state]}


def all_kinds(fabric: Fabric, folder: Path) -> None:
    torch.set_num_threads(1)
    results = {kind: one_step(fabric, kind, folder) for kind in KINDS}
    results["own"] = own_loaders(fabric)  # type: ignore[assignment]
    torch.save(results, folder / f"{fabric.world_size}-{fabric.global_rank}.pt")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """Of one process on the joined batch, then of each of two on a half."""
    folder = tmp_path_factory.mktemp("steps")
    threads = torch.get_num_threads()
    all_kinds(Fabric(accelerator="cpu", devices=1), folder)
    torch.set_num_threads(threads)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp_spawn")
    fabric.launch(all_kinds, folder)
    return [torch.load(folder / f"{name}.pt") for name in ("1-0", "2-0", "2-1")]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_equal_one_on_the_joined_batch(results: list[dict], kind: str) -> None:
    one, first, second = (result[kind] for result in results)
    assert one.keys() == first.keys() == second.keys()
    assert any(name.startswith("buffer/") for name in one) == (kind != "ks")
    compared = [name for name in one if not name.startswith("weight/")]
    for name in compared:
        for half in (first, second):
            assert torch.allclose(half[name], one[name], rtol=1e-4, atol=1e-5), name
    gradient = max(v.abs().max() for k, v in one.items() if k.startswith("gradient/"))
    assert gradient > 0.02  # zeros would be equal, too
    # The processes themselves stay exactly equal, whatever each of them draws.
    assert all(torch.equal(first[name], second[name]) for name in first if "weight/" in name)
    assert bool(one["finite"])


def test_loaders_of_ones_own_train_on_no_sample_twice(results: list[dict]) -> None:
    one, *halves = (result["own"] for result in results)
    for name in ("plain", "shuffled"):
        for number in range(4):
            (whole, labels), (a, of_a), (b, of_b) = (r[name][number] for r in (one, *halves))
            assert not set(a) & set(b)
            assert sorted(a + b) == whole[: len(whole) // 2 * 2]
            assert len(of_a) == len(of_b) == len(a) == len(b)
            assert set(of_a) == set(labels[0] if isinstance(labels, tuple) else labels)
    for rank, half in enumerate(halves):
        assert half["own_share"][1][0] == [100 * rank + 20, 100 * rank + 21]
        assert half["own_share"][2] == half["own_share"][0]  # started again
        assert "rank and world_size" in half["different"][0]
        assert half["validation"] == [one["validation"][rank]]
    assert one["different"] == []
    assert one["state"] == [{"number": 4, "own": None}]


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_music(tmp_path_factory.mktemp("recordings"))


def start_two(music: Path, save: Path, *flags: str):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ["MASTER_PORT"] = str(port)
    try:
        return start_main(
            "-n", "two", "-tt", "ks_mode", "-s", save, "-vs", "1", "--device", "cpu",
            "--devices", "2", "--data", music, "--cache", music.parent / "cache", *SMALL, *flags,
            start_new_session=True,
        )  # fmt: skip
    finally:
        del os.environ["MASTER_PORT"]


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(number) for number in listed.split()]


def test_a_run_on_two_processes_has_one_writer(music: Path, tmp_path: Path) -> None:
    process = start_two(music, tmp_path, "-e", "2", "-ts", "2")
    said, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    assert "Warning" not in errors
    assert said.count("epoch 2/2") == 1
    assert errors.count("step 4/4") == 1
    events = list((tmp_path / "tensorboard" / "ks_mode" / "7" / "two").iterdir())
    assert len(events) == 1
    models = tmp_path / "models" / "ks_mode" / "7" / "two"
    names = {path.name for path in models.iterdir()}
    assert {"last.pt", "best.safetensors"} <= names
    assert not [name for name in names if name.startswith(".")]  # nothing half written


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the other process")
@pytest.mark.parametrize(
    "how",
    [
        "rank 1 killed",
        *(
            pytest.param(how, marks=pytest.mark.slow)
            for how in ("rank 0 killed", "Ctrl-C", "Ctrl-C in a wait")
        ),
    ],
)
def test_a_run_ends_when_a_process_dies(how: str, music: Path, tmp_path: Path) -> None:
    with start_two(music, tmp_path, "-e", "200", "-ts", "3") as process:
        try:
            wait_for(process.stderr, "step 6/")
            (other,) = children(process.pid)
            if how == "Ctrl-C in a wait":
                os.kill(other, signal.SIGSTOP)
                time.sleep(3)  # the first process waits for the other within a few steps
                os.kill(process.pid, signal.SIGINT)
            elif how == "Ctrl-C":
                os.killpg(process.pid, signal.SIGINT)
            else:
                os.kill(other if "1" in how else process.pid, signal.SIGKILL)
            if how == "Ctrl-C in a wait":
                process.wait(timeout=600)
                os.kill(other, signal.SIGKILL)  # it has the pipes open
            _, errors = process.communicate(timeout=600)
            assert process.returncode != 0
            if "Ctrl-C" in how:
                assert process.returncode == 130
                assert "run the same command again to resume" in errors
                assert "Traceback" not in errors
            until = time.monotonic() + 600
            while Path(f"/proc/{other}").exists() and time.monotonic() < until:
                time.sleep(0.1)
            assert not Path(f"/proc/{other}").exists()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
