"""Scans of lists and addresses, and results as Parquet parts, on a disk and in an object store."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import call, music
from object_store import bucket  # noqa: F401

from stonekey.files import local_copy
from stonekey.keys import Key
from stonekey.library import StoreError, parts, read_results, scan
from stonekey.library.lists import ListError
from stonekey.library.result import Result, path_text, text_path
from stonekey.library.sources import find
from stonekey.text import reason

fsspec = pytest.importorskip("fsspec", reason="needs fsspec")


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    music(folder / "a.wav", "D major", 1.0)
    music(folder / "b.wav", "F# minor", 1.5)
    return folder


@pytest.fixture
def store(album: Path) -> Iterator[str]:
    """The same in an object store, here in memory."""
    system = fsspec.filesystem("memory")
    for path in album.iterdir():
        system.pipe_file(f"/bucket/music/{path.name}", path.read_bytes())
    system.pipe_file("/bucket/music/notes.txt", b"no music")
    system.pipe_file("/bucket/music/.hidden/c.wav", b"no music")
    yield "memory://bucket/music"
    system.rm("/bucket", recursive=True)


def test_lists_name_files(album: Path, tmp_path: Path) -> None:
    """Text, CSV, Parquet, and the output of a scan; relative paths start at the list."""
    (album / "list.txt").write_text("a.wav\n\nsub/../b.wav\ngone.wav\n")
    found = find([album / "list.txt"], None)
    wanted = {album / "a.wav", album / "b.wav"}
    assert set(found.files) == wanted
    assert [(path.name, why) for path, why in found.problems] == [
        ("gone.wav", "No such file or directory")
    ]
    scan([album / "list.txt"], tmp_path / "keys.csv")
    again = find([tmp_path / "keys.csv"], None)
    assert again.files == found.files
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    table = pyarrow.table({"id": [1, 2], "file": [str(album / "a.wav"), "memory://x/b.wav"]})
    parquet.write_table(table, tmp_path / "list.parquet")
    assert set(find([tmp_path / "list.parquet"], None).files) == {
        album / "a.wav", Path("memory://x/b.wav"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "contents", "why"),
    [
        ("a.csv", "id,title\n1,x\n", "no column path or file"),
        ("a.csv", "path,size\nx.wav,big\n", "not a list of files"),
        ("a.parquet", "no parquet", "not Parquet"),
        ("none.txt", None, "No such file"),
    ],
)
def test_a_list_that_is_none_is_named(
    name: str, contents: str | None, why: str, tmp_path: Path
) -> None:
    if contents is not None:
        (tmp_path / name).write_text(contents)
    with pytest.raises(ListError, match=f"{name}: .*{why}"):
        find([tmp_path / name], None)


def test_files_at_an_address(
    album: Path, store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = find([store], None).files
    assert [path_text(path) for path in files] == [f"{store}/a.wav", f"{store}/b.wav"]
    assert [size for size, _ in files.values()] == [
        (album / name).stat().st_size for name in ("a.wav", "b.wav")
    ]
    assert set(find([f"{store}/a.wav"], None).files) == {Path(f"{store}/a.wav")}
    with pytest.raises(OSError, match="nothing there"):
        find(["memory://bucket/nowhere"], None)
    for wrong in ("gopher://x/y", "file://tmp"):
        assert call("scan", wrong, "-o", tmp_path / "k.csv") == 2
        assert wrong in capsys.readouterr().err


def test_what_is_missing_at_an_address_has_a_reason(
    store: str,
) -> None:
    gone = f"{store}/gone.wav"
    with pytest.raises(FileNotFoundError) as raised, local_copy(Path(gone)):
        pass
    assert reason(raised.value) == os.strerror(errno.ENOENT)
    with pytest.raises(ListError) as unread:
        find([f"{store}/gone.csv"], None)
    assert str(unread.value) == f"{store}/gone.csv: {os.strerror(errno.ENOENT)}"


def test_a_path_at_an_address_is_written_as_it_is() -> None:
    for text in ("s3://bucket/a b.wav", "https://host/x%20y.mp3"):
        assert path_text(Path(text)) == text
        assert text_path(text) == Path(text)


def test_a_line_that_a_kill_cut_short_in_an_address_is_mended(tmp_path: Path) -> None:
    output = tmp_path / "keys.csv"
    scan([music(tmp_path / "a.wav", "D major", 1.0)], output)
    whole = output.read_bytes()
    for rest in (b"s", b"s3:", b"s3://bucket/a.wav,12"):
        output.write_bytes(whole + rest)
        assert scan([tmp_path / "a.wav"], output).kept == 1
    output.write_bytes(whole + b"my notes, not to be lost")
    with pytest.raises(StoreError, match="another kind of line"):
        scan([tmp_path / "a.wav"], output)


def result(number: int, **more: object) -> Result:
    return Result(Path(f"/music/{number}.wav"), 1, 2.0, "m", "f", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["disk", "memory://bucket/keys"])
def test_parts(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    path = tmp_path / "keys" if place == "disk" else Path(place)
    monkeypatch.setattr(parts, "ROWS", 3)

    def opened() -> parts.PartsStore:
        return parts.PartsStore(path)

    store = opened()
    assert store.read() == []
    store.rewrite(())
    for number in range(5):
        store.append(result(number))
    if place == "disk":
        assert opened().read() == [result(i) for i in range(5)]  # after a kill too
        store._journal.close()  # type: ignore[union-attr]
    else:
        store.close()
    store = opened()
    assert store._names() == [f"part-{i:06d}.parquet" for i in range(1 + (place != "disk"))]
    store.rewrite(store.read())
    store.append(result(2, error="changed"))
    store.finish()
    store.close()
    wanted = [result(i) for i in (0, 1, 3, 4)] + [result(2, error="changed")]
    assert read_results(path) == wanted
    store.rewrite(wanted[1:])
    assert opened().read(strict=True) == wanted[1:]
    store.finish()
    if place == "disk":
        assert all(name.startswith("part-") for name in os.listdir(path))
        (path / "notes.txt").write_text("mine")
        with pytest.raises(StoreError, match=r"notes\.txt: not of an output"):
            opened().read()
        assert (path / "notes.txt").exists()
    else:
        fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_a_scan_from_an_object_store_into_one(
    album: Path,
    bucket: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    system = fsspec.filesystem("s3")
    for path in album.glob("*.wav"):
        system.put_file(str(path), f"{bucket}/music/{path.name}")
    system.pipe_file(f"{bucket}/music/bad.mp3", b"this is no mp3")
    output = f"{bucket}/keys"
    summary = scan([f"{bucket}/music"], output, workers=1)
    assert [path_text(path) for path, _ in summary.failed] == [f"{bucket}/music/bad.mp3"]
    scan([album], tmp_path / "keys.csv", workers=1)
    local = {r.path.name: r for r in read_results(tmp_path / "keys.csv")}
    for found in read_results(output):
        assert path_text(found.path) == f"{bucket}/music/{found.path.name}"
        if found.error is None:
            one = local[found.path.name]
            assert (found.key, found.confidence) == (one.key, one.confidence)
            assert found.size == one.size
            assert found.mtime > 1e9
    again = scan([f"{bucket}/music"], output, workers=1)
    assert (again.analysed, again.kept) == (0, 3)


def test_rows_share_equal_names() -> None:
    """A command keeps the rows of millions of files."""
    label = Key.parse("Eb minor")
    one = Result(Path("/a"), model="".join(("m", "1"))).with_label(label, "musical")
    values = {**one.as_dict(), "model": "".join(("m", "1")), "key": "".join(("Eb", " minor"))}
    other = Result.from_dict(values)
    assert other == one
    assert other.key is one.key
    assert other.model is Result.from_dict({**values, "model": "".join(("m", "1"))}).model
