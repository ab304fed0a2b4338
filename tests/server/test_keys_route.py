"""POST /v1/keys: what clients send, and what they get."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="needs the extra server")

from cli_tools import music, run
from openapi_schema_validator import OAS31Validator
from serving import Served, recordings, served

from stonekey.keys import Key
from stonekey.output.records import FIELDS
from stonekey.server.settings import ServerSettings

KEYS = [str(Key(tonic, mode)) for tonic in range(0, 12, 3) for mode in ("major", "minor")]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return recordings(tmp_path_factory.mktemp("sounds"), *KEYS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sounds: dict[str, bytes]) -> Path:
    root = tmp_path_factory.mktemp("root")
    inside = root / "music"
    (inside / "album").mkdir(parents=True)
    (inside / "album" / "ü.wav").write_bytes(sounds["C major"])
    (root / "secret.wav").write_bytes(sounds["C major"])
    (root / "music-other").mkdir()
    (root / "music-other" / "secret.wav").write_bytes(sounds["C major"])
    (inside / "out.wav").symlink_to(root / "secret.wav")
    (inside / "outside").symlink_to(root)
    (inside / "in.wav").symlink_to("album/ü.wav")
    if hasattr(os, "mkfifo"):
        os.mkfifo(inside / "pipe.wav")
    return inside


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Served]:
    settings = ServerSettings(
        folder=folder, workers=2, max_size=3, max_files=5, max_duration=10, max_time=60
    )
    with served(tmp_path_factory.mktemp("uploads"), settings) as running:
        yield running


def error_of(answer: Any) -> str:
    return str(answer.json()["error"])


def test_a_raw_body_is_answered_as_the_command_line_does(
    server: Served, sounds: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "song.wav"
    path.write_bytes(sounds["A minor"])
    expected = json.loads(run(path, "--format", "json", "--top", "2", "-n", "camelot").stdout)
    query = {"name": "song.wav", "top": "2", "notation": "camelot"}
    with server.client() as client:
        answer = client.post("/v1/keys", params=query, content=sounds["A minor"])
    assert answer.status_code == 200
    assert answer.json() == {**expected, "file": "song.wav"}
    assert answer.json()["key"] == "8A"


def test_options_change_the_answer(server: Served, sounds: dict[str, bytes]) -> None:
    sound = sounds["A minor"]
    with server.client() as client:
        plain = client.post("/v1/keys", content=sound).json()
        other = client.post("/v1/keys", params={"model": "stone12"}, content=sound).json()
        strict = client.post("/v1/keys", params={"min_clarity": "1"}, content=sound).json()
        fast = client.post("/v1/keys", params={"fast": "true", "tune": "off"}, content=sound)
    assert (plain["file"], plain["key"], plain["model"]) == ("upload", "A minor", "stone24")
    assert (other["key"], other["mode"], other["model"]) == ("C major / A minor", None, "stone12")
    assert (strict["key"], strict["error"]) == (None, None)
    assert fast.json()["key"] == "A minor"


def test_several_files_are_an_array_in_their_order(
    server: Served, sounds: dict[str, bytes]
) -> None:
    files = [("file", (f"{key} é.wav", sounds[key])) for key in KEYS[:3]]
    files.insert(1, ("any", ("bad \x1b.mp3", b"no sound at all")))
    with server.client() as client:
        answer = client.post("/v1/keys", files=files)
    assert answer.status_code == 200
    records = answer.json()
    assert [record["key"] for record in records] == [KEYS[0], None, *KEYS[1:3]]
    assert records[0]["file"] == f"{KEYS[0]} é.wav"
    assert records[1]["error"] == (
        "not readable as sound (Invalid data found when processing input)"
    )
    assert all(list(record) == list(FIELDS) for record in records)
    assert not server.left()


@pytest.mark.parametrize("form", [False, True])
def test_a_file_that_cannot_be_read_is_422_by_its_own_name(server: Served, form: bool) -> None:
    with server.client() as client:
        if form:
            answer = client.post("/v1/keys", files={"file": ("../../x/song.mp3", b"RIFF")})
        else:
            answer = client.post("/v1/keys", params={"name": "../../x/song.mp3"}, content=b"RIFF")
    assert answer.status_code == 422
    record = answer.json()
    assert (record["file"], record["key"], record["model"]) == ("../../x/song.mp3", None, "stone24")
    assert record["error"]
    assert str(server.uploads) not in answer.text
    assert "stonekey-uploads" not in answer.text


def test_a_recording_that_is_too_long_is_refused(server: Served, tmp_path: Path) -> None:
    path = music(tmp_path / "long.wav", "C major", 12.0)
    with server.client() as client:
        answer = client.post("/v1/keys", content=path.read_bytes())
    assert answer.status_code == 422
    assert error_of(answer) == "is longer than 10 s, the limit of this server"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"notaton": "camelot"}, "no parameter 'notaton'; there are model, notation, top"),
        ({"notation": "german"}, "notation: must be one of musical"),
        ({"top": "0"}, "top: must be a whole number from 1 to 24"),
        ({"top": "1e3"}, "top: must be a whole number"),
        ({"top": "00000000125"}, "top: must be a whole number"),
        ({"fast": "maybe"}, "fast: must be true or false"),
        ({"model": "/etc/passwd"}, "model: this server has no '/etc/passwd'; it has stone24"),
        ({"overlap": "nan"}, "overlap must be at least 0 and below 1, got nan"),
        ({"overlap": "x"}, "overlap: could not convert"),
        ({"tune": "loud"}, "tune"),
        ({"fast": "1", "overlap": "0.5"}, "fast chooses its own segments"),
        ({"threads": "99"}, "no parameter 'threads'"),
    ],
)
def test_bad_options_are_400(server: Served, query: dict[str, str], error: str) -> None:
    with server.client() as client:
        answer = client.post("/v1/keys", params=query, content=b"x")
    assert answer.status_code == 400
    assert error_of(answer).startswith(error)


BOUNDARY = {"content-type": "multipart/form-data; boundary=B"}
PART = b'--B\r\ncontent-disposition: form-data; name="f"; filename="a.wav"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("headers", "body", "status", "error"),
    [
        ({}, b"", 422, "is empty: 0 bytes"),
        (BOUNDARY, b"", 400, "multipart/form-data that is cut off"),
        (BOUNDARY, PART, 400, "multipart/form-data that is cut off"),
        (BOUNDARY, b"nonsense", 400, "multipart/form-data: "),
        (BOUNDARY, PART.replace(b"a.wav", b"") + b"--B--\r\n", 400, "there is no file"),
        (BOUNDARY, PART * 6 + b"--B--\r\n", 413, "more than 5 files"),
        (
            BOUNDARY, b'--B\r\ncontent-disposition: form-data; name="top"\r\n\r\n2\r\n--B--\r\n',
            400, "the field 'top' is no file; options go into the query",
        ),
        (BOUNDARY, PART.replace(b"a.wav", b"a" * 100_000), 400, "multipart/form-data: "),
        (BOUNDARY, b"--B\r\n" + b"x: y\r\n" * 99, 400, "multipart/form-data: "),
        ({"content-type": "multipart/form-data"}, PART, 400, "multipart/form-data without a"),
        ({"content-encoding": "gzip"}, b"x", 415, "the body must not be compressed"),
        ({"content-type": "application/json"}, b"{", 400, "the body is no JSON"),
        ({"content-type": "application/json"}, b"[]", 400, 'the body must be {"path"'),
        ({"content-type": "application/json"}, b'{"path": 3}', 400, 'the body must be {"path"'),
        ({"content-type": "application/json"}, b"[" * 60000, 400, "the body is no JSON"),
        ({"content-type": "application/json"}, b" " * 70000, 413, "the body is larger than"),
    ],
)  # fmt: skip
def test_bad_bodies_are_refused(
    server: Served, headers: dict[str, str], body: bytes, status: int, error: str
) -> None:
    with server.client() as client:
        answer = client.post("/v1/keys", headers=headers, content=body)
    assert (answer.status_code, error_of(answer)[: len(error)]) == (status, error)
    assert not server.left()


def test_damaged_forms_are_refused_and_leave_nothing(server: Served) -> None:
    rng = random.Random(0)
    whole = PART.replace(b"x", b"RIFF" * 9) * 2 + b"--B--\r\n"
    seen = set()
    with server.client() as client:
        for _ in range(60):
            body = bytearray(whole)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(body))
                body[at : at + rng.randint(0, 9)] = rng.choice(
                    [b"", b"\r\n", b"--B", b"\xff\0", b'"']
                )
            answer = client.post("/v1/keys", headers=BOUNDARY, content=bytes(body))
            seen.add(answer.status_code)
            answer.json()
    assert seen == {200, 400, 422}
    assert not server.left()


def test_too_large_a_body_is_413_whether_it_says_so_or_not(server: Served) -> None:
    with server.client() as client:
        said = client.post("/v1/keys", content=bytes(3_000_001))
        unsaid = client.post("/v1/keys", content=iter([bytes(1 << 16)] * 46))
        form = client.post("/v1/keys", files={"file": bytes(3_000_000)})
        fits = client.post("/v1/keys", content=bytes(3_000_000))
    assert [said.status_code, unsaid.status_code, form.status_code] == [413, 413, 413]
    assert error_of(said) == "the body is larger than 3 MB, the limit of this server"
    assert fits.status_code == 422
    assert not server.left()


def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        link.sendall(b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 413 ")


def test_files_of_the_folder(server: Served) -> None:
    with server.client() as client:
        for path in ("album/ü.wav", "in.wav", "./album/../in.wav"):
            answer = client.post("/v1/keys", json={"path": path}, params={"top": "1"})
            assert answer.status_code == 200
            assert (answer.json()["file"], answer.json()["key"]) == (path, "C major")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.wav", "album/../../secret.wav", "../music-other/secret.wav", "out.wav",
        "outside/secret.wav", "outside/music/in.wav/..", "", ".", "album", "pipe.wav", "nothing",
        "in.wav\0", "in.wav/x", "x" * 5000, "..", "%2e%2e/secret.wav", "\ud800",
    ],
)  # fmt: skip
def test_nothing_outside_the_folder_is_read(server: Served, path: str) -> None:
    body = json.dumps({"path": path})
    with server.client() as client:
        answer = client.post("/v1/keys", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 404
    assert error_of(answer).startswith("no such file in the folder: ")


def test_an_absolute_path_is_refused_even_into_the_folder(server: Served, folder: Path) -> None:
    with server.client() as client:
        for path in (folder / "in.wav", folder.parent / "secret.wav"):
            answer = client.post("/v1/keys", json={"path": str(path)})
            assert answer.status_code == 404


def test_many_clients_get_their_own_answers(server: Served, sounds: dict[str, bytes]) -> None:
    before = server.metrics()
    todo = [(number, KEYS[number % len(KEYS)]) for number in range(64)]

    def ask(item: tuple[int, str]) -> tuple[str, Any]:
        number, key = item
        content = b"broken" if number % 16 == 7 else sounds[key]
        with server.client() as client:
            while True:
                answer = client.post(
                    "/v1/keys", params={"name": f"{number}"}, content=content,
                    headers={"x-request-id": f"of-{number}"},
                )  # fmt: skip
                assert answer.headers["x-request-id"] == f"of-{number}"
                if answer.status_code != 429:
                    return key, answer

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, todo))
    for (number, _), (key, answer) in zip(todo, answers, strict=True):
        record = answer.json()
        broken = number % 16 == 7
        assert answer.status_code == (422 if broken else 200)
        assert record["file"] == str(number)
        assert record["key"] == (None if broken else key)
    assert not server.left()
    server.wait_for("stonekey_requests_in_flight", 1.0)  # this one
    after = server.metrics()

    def more(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert more('stonekey_requests_total{route="/v1/keys",status="200"}') == 60
    assert more('stonekey_requests_total{route="/v1/keys",status="422"}') == 4
    assert more('stonekey_files_total{outcome="ok"}') == 60
    assert more('stonekey_files_total{outcome="failed"}') == 4
    assert more("stonekey_audio_seconds_total") == pytest.approx(60 * 4.0)
    assert after["stonekey_queue_length"] == after["stonekey_workers_busy"] == 0
    count = 'stonekey_request_seconds_count{route="/v1/keys"}'
    total = sum(v for n, v in after.items() if n.startswith('stonekey_requests_total{route="/v1/k'))
    assert after[count] == total


def test_answers_are_as_the_description_says(server: Served, sounds: dict[str, bytes]) -> None:
    with server.client() as client:
        document = client.get("/openapi.json").json()
        answers = {
            ("/v1/keys", "post"): [
                client.post("/v1/keys", content=sounds["C major"]),
                client.post("/v1/keys", content=b"broken"),
                client.post("/v1/keys", params={"top": "x"}),
                client.post("/v1/keys", files=[("f", ("a", b"x")), ("f", ("b", b"y"))]),
            ],
            ("/v1/models", "get"): [client.get("/v1/models")],
            ("/healthz", "get"): [client.get("/healthz")],
        }
    for (path, method), found in answers.items():
        for answer in found:
            about = document["paths"][path][method]["responses"][str(answer.status_code)]
            schema = about["content"]["application/json"]["schema"]
            OAS31Validator({**schema, "components": document["components"]}).validate(answer.json())
