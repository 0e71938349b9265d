"""Answers what tests on Windows want to know of the engine, with this machine's own.

A question is a list of words for the engine's Python and its standard input; Windows' paths among the words are
translated. Only who knows the address, which ends with a secret, may ask.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.addon.engine import ask_engine
from tests.windows.wine import WindowsPython


@contextmanager
def answered(windows: WindowsPython) -> Iterator[str]:
    """The address at which questions are answered while the block runs."""
    secret = f"/{secrets.token_urlsafe(16)}"

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != secret:
                return self.send_error(404)
            words = [windows.here(word) if re.match(r"[A-Z]:\\", word) else word for word in asked["words"]]
            try:
                status, said = 200, ask_engine(*words, question=asked["question"])
            except subprocess.SubprocessError as error:
                status, said = 500, str(error)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{secret}"
    finally:
        server.shutdown()
        server.server_close()
