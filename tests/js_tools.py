"""stonekey-web in Node and in a browser: the package built, programs run, pages served."""

from __future__ import annotations

import json
import mimetypes
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from stonekey.model.registry import find_model

JS = Path(__file__).resolve().parents[1] / "js"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PAGE = b"<!doctype html><title>keys</title><script type=module src=/program.js></script>"


def missing_tools() -> str | None:
    """What building the package lacks, in words; None for nothing."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "needs node and npm, which are not on this machine"
    if not (JS / "node_modules").is_dir():
        return "needs the packages that `npm ci` fetches in js/"
    return None


def missing_browser() -> str | None:
    """What running a browser lacks, in words; None for nothing."""
    if browser_path() is None:
        return "needs chromium, which is not on this machine"
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "needs playwright"
    return None


def browser_path() -> str | None:
    """The Chromium of this machine."""
    return next(filter(None, map(shutil.which, CHROMIUM)), None)


def build(folder: Path) -> Path:
    """Build the package, whose dependencies are then found from ``folder``, and the page's program.

    Returns ``folder``, with index.js, worker.js and the WebAssembly in it.
    """
    subprocess.run(["node", JS / "build.mjs", folder], check=True)
    (folder / "node_modules").symlink_to(JS / "node_modules")
    return folder


def run_node(program: str, folder: Path, *arrays: np.ndarray, **values: Any) -> Any:
    """Run a program in Node; what it assigns to ``answer`` comes back through JSON.

    Args:
        program: of a module beside ``index.js``; ``arrays`` are Float32Arrays to it and each of
            ``values`` a constant.
        folder: where the package is built.
    """
    for number, array in enumerate(arrays):
        array.astype("<f4").tofile(folder / f"{number}.f32")
    constants = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    text = f"""
import {{ readFileSync }} from "node:fs";
import * as web from "./index.js";
const arrays = [...Array({len(arrays)}).keys()].map((number) => {{
  const bytes = readFileSync(`${{number}}.f32`);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}});
let answer;
{constants}{program}
process.stdout.write("\\n" + JSON.stringify(answer));
"""
    (folder / "program.mjs").write_text(text)
    done = subprocess.run(
        ["node", "program.mjs"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("\n")[2])


class _Handler(BaseHTTPRequestHandler):
    """Files of some folders, by the first part of the address; the page itself at the root."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folders: dict[str, Path], *rest: Any) -> None:
        self._folders = folders
        super().__init__(*rest)

    def do_GET(self) -> None:
        name = unquote(self.path.partition("?")[0]).lstrip("/")
        first, _, rest = name.partition("/")
        path = self._folders[first] / rest if first in self._folders else self._folders[""] / name
        if name and not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes() if name else PAGE
        kinds = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
        kind = kinds.get(path.suffix) or mimetypes.guess_type(name)[0] or "text/html"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(ConnectionError):  # a page that was closed
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folders: dict[str, Path]) -> Iterator[str]:
    """Serve folders by the names of their addresses, "" being the root; yields the address."""
    handler = partial(_Handler, folders)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def launched(playwright: Any, arguments: Sequence[str] = ()) -> Iterator[Any]:
    """Headless Chromium; ``playwright`` is what runs it, of which a process can have but one."""
    browser = playwright.chromium.launch(
        executable_path=browser_path(), args=["--no-sandbox", *arguments]
    )
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def opened(playwright: Any, address: str, arguments: Sequence[str] = ()) -> Iterator[Any]:
    """A page of headless Chromium, at this address."""
    with launched(playwright, arguments) as browser:
        page = browser.new_page()
        page.goto(address)
        yield page


def web_folder(folder: Path, model: str = "stone24") -> Path:
    """What a page needs, in a folder: the package bundled as ``web`` of the window, the model."""
    build(folder)
    shutil.copy(find_model(model), folder / "model.onnx")
    entry = folder / "entry.js"
    entry.write_text('import * as web from "./index.js";\nwindow.web = web;\n')
    subprocess.run(
        [
            JS / "node_modules" / ".bin" / "esbuild", entry, "--bundle", "--format=esm",
            f"--outfile={folder / 'program.js'}", "--log-level=error",
        ],
        check=True,
    )  # fmt: skip
    return folder
