"""A scene behind a URL: only the bytes that a window needs are fetched."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from ringmoe.errors import SceneReadError
from ringmoe.scenes import Window, open_scene, write_raster


@pytest.fixture
def server():
    """An HTTP server of one file, which answers to byte ranges and counts what it sent."""

    class Handler(BaseHTTPRequestHandler):
        content = b""
        sent = 0

        def do_HEAD(self):
            found = self.path == "/scene.tif"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(self.content) if found else 0))
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()

        def do_GET(self):
            if self.path != "/scene.tif":
                self.send_error(404)
                return
            size = len(self.content)
            first, last = re.match(r"bytes=(\d+)-(\d*)", self.headers["Range"]).groups()
            part = self.content[int(first) : int(last or size - 1) + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{size}")
            self.end_headers()
            self.wfile.write(part)
            Handler.sent += len(part)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server, Handler
        server.shutdown()


def test_a_window_of_a_cog_behind_a_url(tmp_path, server):
    """A window of 64 x 64 in 2048 x 2048 pixels of noise needs less than a fifth of the file."""
    http, handler = server
    values = np.random.default_rng(0).integers(0, 255, (3, 2048, 2048), dtype=np.uint8)
    write_raster(tmp_path / "scene.tif", values)
    handler.content = (tmp_path / "scene.tif").read_bytes()
    scene = open_scene(f"http://127.0.0.1:{http.server_port}/scene.tif", "rgb-dn8")
    raster = scene.read(Window(700, 900, 64, 64))
    np.testing.assert_array_equal(raster.values, values[:, 700:764, 900:964])
    assert scene.name == "scene"
    assert handler.sent < len(handler.content) / 5


def test_a_url_without_a_scene_is_named(server):
    with pytest.raises(SceneReadError, match=r"http://127\.0\.0\.1:\d+/other\.tif"):
        open_scene(f"http://127.0.0.1:{server[0].server_port}/other.tif", "rgb-dn8")
