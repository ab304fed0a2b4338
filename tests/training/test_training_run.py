"""Whole runs by the command line: flags, what is written, mistakes, loaders of one's own."""

from __future__ import annotations

import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning_fabric")
pytest.importorskip("gin")
pytest.importorskip("tensorboard")

from cli_tools import call  # noqa: E402
from toy_music import SMALL, one_thread, start_main, tiny_config, write_music  # noqa: E402, F401

from stonekey.estimate.estimator import KeyEstimator  # noqa: E402
from stonekey.files import locked  # noqa: E402
from stonekey.model.checkpoint import load_checkpoint  # noqa: E402
from stonekey.training.config import ConfigError  # noqa: E402
from stonekey.training.options import Options  # noqa: E402
from stonekey.training.tracks import (  # noqa: E402
    PREPARED,
    held_out,
    prepare_data,
    split_tracks,
    to_score,
)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_music(tmp_path_factory.mktemp("recordings"))


def train(*arguments: str | Path) -> int:
    """Exit code of ``stonekey train`` in this process."""
    return call("train", *arguments)


def short(music: Path, save: Path, *arguments: str | Path) -> tuple[str | Path, ...]:
    """Flags of a run of two epochs of two steps."""
    return (
        "-s", save, "-e", "2", "-ts", "2", "-vs", "1", "--device", "cpu",
        "--cache", music.parent / "cache", *SMALL, *arguments,
    )  # fmt: skip


def events(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return read


def test_the_documented_command(music: Path, tmp_path: Path) -> None:
    """``python -m main -n basic -tt ks -g config/ks.gin --data FOLDER``, with every short flag."""
    process = start_main(
        "-n", "basic", "-tt", "ks", "-c", "7", "-s", tmp_path, "-e", "2", "-ts", "3", "-vs", "1",
        "-lr", "0.002", "-g", "config/ks.gin", "--data", music.parent / "music", *SMALL,
        "--cache", music.parent / "cache", "--seed", "5",
    )  # fmt: skip
    said, progress = process.communicate(timeout=600)
    assert process.returncode == 0, progress
    assert "Traceback" not in progress
    assert "data.batch_size = 2" in said  # the configuration, as it holds
    assert "optimizer.n_epochs_cosine = 999" in said
    assert "epoch 2/2: validation key" in said
    assert "step 6/6: total" in progress
    models = tmp_path / "models" / "ks" / "7" / "basic"
    assert {"last.pt", "best.safetensors", "epoch_1.safetensors"} <= {
        path.name for path in models.iterdir()
    }
    best = load_checkpoint(models / "best.safetensors").info
    assert best.training["seed"] == 5
    assert best.training["learning_rate"] == 0.002
    assert "optimizer.n_epochs_cosine = 999" in best.training["config"]
    read = events(tmp_path / "tensorboard" / "ks" / "7" / "basic")
    tags = read.Tags()
    wanted = ("key", "total", "learning_rate", "weight_decay", "gradient_norm", "skipped_steps")
    assert {f"train/{name}" for name in wanted} <= set(tags["scalars"])
    assert {"validation/key", "validation/total"} <= set(tags["scalars"])
    assert tags["images"] == ["profile"]
    assert "audio/0" in tags["audio"]
    assert len(read.Scalars("train/total")) == 6
    assert read.Scalars("train/learning_rate")[0].value == pytest.approx(0.002)
    assert [event.step for event in read.Scalars("validation/total")] == [3, 6]


def test_a_labelled_run_ends_in_a_model_to_use(
    music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """24 keys, mixed, on the other circle, in half precision; scores; the model answers at once."""
    arguments = short(
        music, tmp_path, "-n", "semi", "-tt", "ks_mode", "-c", "1", "--precision", "bf16-mixed",
        "--data", music, "--valid", music, "--devices", "1", "--nodes", "1",
        "-b", 'data.dataset_type_train = "mix"', "-b", 'loss.objective = "skey"',
        "-b", 'data.augment = ["gain"]',
    )  # fmt: skip
    # Recordings to validate on are taken out of the training data: here, all of them.
    code = train(*arguments)
    said = capfd.readouterr()
    assert code == 2
    assert "no audio file found" in said.err
    valid = music.parent / "valid.csv"
    rows = music.read_text().splitlines()
    valid.write_text("\n".join([rows[0], rows[1], rows[5]]) + "\n")
    arguments = tuple(valid if a == music and arguments[i - 1] == "--valid" else a
                      for i, a in enumerate(arguments))  # fmt: skip
    assert train(*arguments) == 0
    said = capfd.readouterr()
    folder = tmp_path / "models" / "ks_mode" / "1" / "semi"
    assert f"done: stonekey FILE --model {folder / 'best'}" in said.out
    estimate = KeyEstimator(folder / "best.onnx")(music.parent / "music" / "000.wav")
    assert len(estimate.probabilities) == 24
    assert sum(estimate.probabilities.values()) == pytest.approx(1, abs=1e-4)
    read = events(tmp_path / "tensorboard" / "ks_mode" / "1" / "semi")
    assert {"train/mode", "train/balance", "score/ksea", "score/mirex"} <= set(
        read.Tags()["scalars"]
    )
    assert 0 <= read.Scalars("score/ksea")[0].value <= 1
    assert load_checkpoint(folder / "best.safetensors").info.omega == 1
    # The finished run has nothing left to do; anew, it starts at the beginning.
    assert train(*arguments) == 0
    said = capfd.readouterr()
    assert "resumed at epoch 2, step 4" in said.out
    assert "epoch 1/2" not in said.out
    assert train(*arguments, "--fresh") == 0
    assert "epoch 1/2" in capfd.readouterr().out
    read = events(tmp_path / "tensorboard" / "ks_mode" / "1" / "semi")
    assert [event.step for event in read.Scalars("train/total")] == [1, 2, 3, 4]


def test_without_data_the_message_shows_a_folder_and_a_manifest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train("-n", "basic", "-tt", "ks", "-s", tmp_path) == 2
    said = capsys.readouterr().err
    for text in ("nothing to train on", "--data ~/Music", "--data tracks.csv", "path,key,split"):
        assert text in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("-tt", "both"), "'both'"),
        (("-c", "5"), "circle type must be 1 or 7"),
        (("-e", "0"), "n_epochs"),
        (("-ts", "0"), "train_steps"),
        (("-vs", "0"), "val_steps"),
        (("-lr", "0"), "learning rate"),
        (("-lr", "fast"), "--learning-rate"),
        (("--devices", "0"), "devices"),
        (("-g", "no_such.gin"), "no_such.gin"),
        (("-b", "VQT.fmim = 3"), "fmim"),
        (("--device", "toaster"), "toaster"),
        (("--precision", "7-bit"), "7-bit"),
        (("--no-such-flag",), "--no-such-flag"),
    ],
)
def test_bad_flags(
    arguments: tuple[str, ...], named: str, music: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert train(*short(music, tmp_path, "-n", "x", "--data", music), *arguments) == 2
    said = capsys.readouterr().err
    assert named in said
    assert "Traceback" not in said


def test_every_flag_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--help") == 0
    said = capsys.readouterr().out
    for flag in (
        "--exp-name", "-n", "--train-type", "-tt", "--circle-type", "-c", "--save-dir", "-s",
        "--n-epochs", "-e", "--train-steps", "-ts", "--val-steps", "-vs", "--learning-rate", "-lr",
        "--gin-file", "-g", "--data", "--labels", "--valid", "--cache", "--device", "--devices",
        "--nodes", "--precision", "--compile", "--seed", "--resume", "--fresh",
    ):  # fmt: skip
        assert flag in said


def test_defaults_are_the_documented_ones() -> None:
    options = Options("x")
    assert (options.circle_type, options.n_epochs, options.train_steps) == (7, 100, 512)
    assert (options.val_steps, options.learning_rate, options.resume) == (256, 1e-3, True)
    with pytest.raises(ConfigError):
        Options("x", nodes=0)


def test_a_label_that_is_no_key(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = music.parent / "bad.csv"
    bad.write_text("path,key\nmusic/000.wav,C major\nmusic/001.wav,H sharp\n")
    for flags in (("--data", bad), ("--data", music, "--labels", bad)):
        assert train(*short(music, tmp_path, "-n", "x", *flags)) == 2
        said = capsys.readouterr().err
        assert f"{bad}, line 3" in said
        assert "H sharp" in said


def test_nothing_to_train_on(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert train(*short(music, tmp_path, "-n", "x", "--data", empty)) == 2
    assert f"{empty}: no audio file found" in capsys.readouterr().err
    assert train(*short(music, tmp_path, "-n", "x", "--data", tmp_path / "none.csv")) == 2
    assert "none.csv" in capsys.readouterr().err
    (empty / "broken.wav").write_bytes(b"RIFF no audio")
    assert train(*short(music, tmp_path, "-n", "x", "--data", empty)) == 2
    said = capsys.readouterr().err
    assert "broken.wav" in said
    assert "no track is long enough" in said
    long = short(music, tmp_path, "-n", "x", "--data", music, "-b", "data.duration = 60")
    assert train(*long) == 2
    assert "no track is long enough" in capsys.readouterr().err
    unlabelled = ("-b", 'data.dataset_type_train = "supervised"')
    folder = music.parent / "music"
    assert train(*short(music, tmp_path, "-n", "x", "--data", folder, *unlabelled)) == 2
    assert "no track has a label" in capsys.readouterr().err


def test_a_damaged_or_foreign_state_is_refused(
    music: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "models" / "ks" / "7" / "x" / "last.pt"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"garbage")
    flags = short(music, tmp_path, "-n", "x", "--data", music, "-e", "1", "-ts", "1")
    assert train(*flags) == 2
    assert "last.pt: cannot be read" in capsys.readouterr().err
    assert train(*flags, "--fresh") == 0
    other = ("-b", "ChromaNet.out_channels = [2, 3, 5, 4, 4, 3, 3]")
    assert train(*flags, *other, "--resume-with", "new") == 2
    assert "another network" in capsys.readouterr().err
    assert train(*flags, "--seed", "9") == 2
    assert "seed: 0 in the run, 9 now" in capsys.readouterr().err


def options(music: Path, **more: object) -> Options:
    return Options("x", data=music, **more)  # type: ignore[arg-type]


def test_splits(music: Path) -> None:
    train_tracks, valid = split_tracks(options(music), 3.0)
    assert [t.id for t in valid] == ["music/004.wav", "music/005.wav"]
    assert len(train_tracks) == 4
    folder = music.parent / "music"
    train_tracks, valid = split_tracks(options(folder), 50.0)
    assert len(train_tracks) + len(valid) == 6
    assert all(held_out(t, 50.0) for t in valid)
    assert not {t.path for t in train_tracks} & {t.path for t in valid}
    train_tracks, valid = split_tracks(options(folder, valid=music.parent / "music"), 3.0)
    assert (len(train_tracks), len(valid)) == (0, 6)


def test_labels_of_recordings_that_are_in_the_data(music: Path, tmp_path: Path) -> None:
    """The labels join the recordings they are of, however the files are spelled."""
    labels = tmp_path / "labels.csv"
    folder = music.parent / "music"
    labels.write_text(
        f"path,key\n{folder / '000.wav'},Eb minor\n{folder / '..' / 'music' / '001.wav'},11B\n"
    )
    train_tracks, valid = split_tracks(options(folder, labels=labels), 0.0)
    assert len(train_tracks) + len(valid) == 6
    keys = {t.path.name: str(t.key) for t in [*train_tracks, *valid] if t.path and t.key}
    assert keys == {"000.wav": "Eb minor", "001.wav": "A major"}
    with pytest.raises(ValueError, match="two keys"):
        split_tracks(options(music, labels=labels), 0.0)


LOADERS = """
import gin
import numpy as np
import torch

def waves(items, channels, seed):
    generator = np.random.default_rng(seed)
    audio = generator.standard_normal((items, 4 * 22050, channels)).astype(np.float32)
    return torch.from_numpy(audio / np.abs(audio).max())

def shapes():
    return [
        waves(2, 2, 0),
        {"audio": waves(2, 2, 1)},
        {"audio": waves(2, 1, 2), "keymode": ["C# minor", "Dbm"]},
        {"audio": waves(2, 1, 3), "keymode": ["12A", "Bb major"]},
        (waves(2, 1, 4)[..., 0], [3, 17]),
        {"audio": waves(2, 2, 5).numpy(), "keymode": None},
        {"audio": waves(2, 2, 6), "keymode": ("-1",) * 2},
        {"audio": waves(2, 1, 7), "keymode": (["A minor", "D major"],)},
    ]

@gin.configurable
def every_shape():
    yield from shapes()

class Resumable:
    def __init__(self, seed):
        self.at = seed

    def __iter__(self):
        while True:
            self.at += 1
            yield waves(2, 2, self.at)

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]

@gin.configurable
def resumable(seed=0):
    return Resumable(seed)

@gin.configurable
def to_validate():
    return [waves(3, 2, 9), waves(1, 2, 10)]

@gin.configurable
def with_nan():
    good, bad = waves(2, 2, 0), waves(2, 2, 1)
    bad[0, 100] = float("nan")
    return [good, good, good, bad, good, good, good, good, good]

@gin.configurable
def always_nan():
    return [waves(2, 2, 0) * float("nan")]

@gin.configurable
def nothing():
    return iter([])

@gin.configurable
def other_length():
    return [waves(2, 2, 0)[:, :22050]]

@gin.configurable
def one_channel():
    return [waves(2, 1, 0)]

@gin.configurable
def no_key():
    return [{"audio": waves(2, 1, 0), "keymode": ["C", "Q"]}]
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_loaders_of_the_test.py").write_text(LOADERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "own.gin"
    file.write_text(
        "import own_loaders_of_the_test\ndata.test_loader = @to_validate\n"
        "data.train_loader = @every_shape\n"
    )
    return file


def use(name: str) -> tuple[str, str]:
    return "-b", f"data.train_loader = @{name}"


def test_loaders_of_ones_own_in_every_documented_shape(
    own: Path, music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    supervised = ("-b", 'data.dataset_type_train = "mix"')
    flags = short(music, tmp_path, "-n", "own", "-tt", "ks_mode", "-g", own, *supervised)
    assert train(*flags, "-e", "1", "-ts", "14") == 0  # and again from the first
    said = capfd.readouterr()
    assert "step 14/14" in said.err
    assert "done: stonekey FILE" in said.out
    values = events(tmp_path / "tensorboard" / "ks_mode" / "7" / "own").Scalars("train/total")
    assert len(values) == 14
    assert all(math.isfinite(value.value) for value in values)


def test_a_batch_with_nan_is_survived(
    own: Path, music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(*short(music, tmp_path, "-n", "nan", "-g", own, *use("with_nan"))) == 0
    said = capfd.readouterr()
    assert "the loss is not finite at step 3: going back to the checkpoint of epoch 1" in said.out
    models = tmp_path / "models" / "ks" / "7" / "nan"
    tensors = load_checkpoint(models / "best.safetensors").tensors
    assert all(np.isfinite(value).all() for value in tensors.values())


def test_batches_that_are_always_nan_end_the_run(
    own: Path, music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train(*short(music, tmp_path, "-n", "nan", "-g", own, *use("always_nan"))) == 1
    said = capfd.readouterr()
    assert "giving up" in said.err
    assert said.out.count("going back") == 3


@pytest.mark.parametrize(
    ("loader", "named"),
    [
        ("nothing", "no more batches"),
        ("other_length", "segments of 22050 samples, but the model's are 88200 (4 s at 22050 Hz)"),
        ("one_channel", "(batch, samples, 2)"),
        ("no_key", "label 1 of the batch"),
    ],
)
def test_loaders_that_give_something_else(
    loader: str, named: str, own: Path, music: Path, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert train(*short(music, tmp_path, "-n", "x", "-g", own, *use(loader))) == 2
    assert named in capfd.readouterr().err


def test_a_loader_of_ones_own_needs_validation_data(
    own: Path, music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = short(music, tmp_path, "-n", "x", "-g", own, "-b", "data.test_loader = None")
    assert train(*flags) == 2
    assert "data.test_loader" in capfd.readouterr().err


def test_validation_data_must_hold_a_batch(
    own: Path, music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (
        train(*short(music, tmp_path, "-n", "x", "-g", own, "-b", "data.test_loader=@nothing")) == 2
    )
    assert "no batch to validate on" in capfd.readouterr().err


def test_modules_of_the_working_folder_are_found(
    own: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``python -m stonekey`` finds them."""
    (tmp_path / "here").mkdir()
    module = tmp_path / "here" / "only_in_the_working_folder.py"
    module.write_text(
        "import gin\nfrom own_loaders_of_the_test import waves\n\n@gin.configurable\n"
        "def of_the_working_folder():\n    return [waves(2, 2, 0)]\n"
    )
    more = tmp_path / "more.gin"
    more.write_text("include 'own.gin'\nimport only_in_the_working_folder\n")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", list(sys.path))
    flags = short(music, tmp_path, "-n", "x", "-g", more, *use("of_the_working_folder"))
    assert train(*flags, "-e", "1", "-ts", "1") == 0


def test_a_run_is_not_resumed_with_other_settings_by_chance(
    own: Path, music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = short(music, tmp_path, "-n", "x", "-g", own, *use("resumable"))
    assert train(*flags, "-e", "1") == 0
    other = (*flags, "-lr", "0.5", "-b", "loss.key_weight = 2.0", "-b", "resumable.seed = 9")
    capfd.readouterr()
    assert train(*other) == 2
    said = capfd.readouterr().err
    assert "learning_rate: 0.001 in the run, 0.5 now" in said
    assert "loss.key_weight: 1.0 in the run, 2.0 now" in said
    assert "resumable.seed: not set in the run, 9 now" in said
    assert "n_epochs" not in said  # a run may go on for longer
    assert "--resume-with new" in said
    assert train(*other, "--resume-with", "saved") == 0
    said = capfd.readouterr()
    assert "resumed at epoch 1, step 2" in said.out
    assert "starts over" not in said.err
    assert "loss.key_weight = 1.0" in said.out
    assert train(*other, "-e", "3", "--resume-with", "new") == 0
    assert "loss.key_weight = 2.0" in capfd.readouterr().out
    read = events(tmp_path / "tensorboard" / "ks" / "7" / "x")
    rates = [event.value for event in read.Scalars("train/learning_rate")]
    assert max(rates[:4]) == pytest.approx(0.001)
    assert rates[4] > 0.01
    # A loader without a state starts over, which is said.
    assert train(*flags, "-e", "4", "--resume-with", "new", *use("every_shape")) == 0
    assert "warning: the training loader starts over" in capfd.readouterr().err


def test_a_resumed_run_with_other_data_says_so(
    music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = short(music, tmp_path, "-n", "x")
    assert train(*flags, "--data", music, "-e", "1", "-ts", "1") == 0
    other = (*flags, "--data", music.parent / "music", "-ts", "1")
    assert train(*other) == 2
    said = capfd.readouterr().err
    assert "data was" in said
    assert "--resume-with new" in said
    assert train(*other, "--resume-with", "new") == 0
    assert "the data start over" in capfd.readouterr().out


def test_a_skipped_file_never_comes_back(
    music: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is neither shown as an example nor scored, and no process tries it again."""
    folder = tmp_path / "valid"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF no audio")
    (folder / "b.wav").symlink_to((music.parent / "music" / "000.wav").resolve())
    (folder / "keys.csv").write_text("path,key\na.wav,C major\nb.wav,D major\n")
    settings = options(music, valid=folder / "keys.csv", cache=music.parent / "cache")
    data = prepare_data(settings, tiny_config())
    labelled, examples = to_score(settings, tiny_config(), data)
    assert [path.name for path in examples] == ["b.wav"]
    assert [track.id for track in labelled] == ["b.wav"]
    monkeypatch.setenv(PREPARED, "1")
    assert prepare_data(settings, tiny_config()) == data
    assert capsys.readouterr().err.count("a.wav") == 1


def test_processes_wait_for_the_one_that_builds_the_cache(
    music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before they form a group, so that its time limit does not end a run that builds for hours."""
    settings = options(music, cache=music.parent / "cache")
    data = prepare_data(settings, tiny_config())
    monkeypatch.setattr("stonekey.training.tracks.LOCK_SECONDS", 0.02)
    monkeypatch.setattr("stonekey.training.tracks.build_cache", None)  # not called again
    with ThreadPoolExecutor(1) as pool:
        with locked(music.parent / "cache" / ".build.lock"):
            waiting = pool.submit(prepare_data, settings, tiny_config())
            time.sleep(0.5)
            assert not waiting.done()
        assert waiting.result() == data
