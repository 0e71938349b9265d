"""A stand-in for the engine that speaks its protocol at once and needs no packages; STUB in the environment sets how.

STUB: empty (jobs are done after a few questions), slow (jobs never end), silent (never ready), crash (dies at start),
babble (says something else first, and is slow), refuse (says why it cannot start). STUB_AVATAR: the file that every job
results in. STUB_HEALTH: JSON that its health says as well.
"""

import email
import email.policy
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = os.environ.get("STUB", "")
TOKEN = os.environ.get("GAUSSIAN_HEADS_TOKEN", "")
DONE = 4  # questions until a job is done

# Two seconds of a jaw at 25 frames a second, of which one without a face.
SEEN = [frame / 25 for frame in range(76) if not 25 < frame < 50]
TAKE = "Time,JawOpen,HeadYaw,Residual,Confidence\n" + "".join(f"{t},{t / 4},{t / 10},1,0.9\n" for t in SEEN)

jobs: dict[str, dict] = {}
live: dict = {"sequence": 0, "wish": None, "recorded": None}  # each question about it finds a new sample
TAKEN = 9  # a port that another program has
seen: dict[str, object] = {"cancelled": [], "forgotten": [], "uploads": []}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._is_allowed():
            parts = self.path.strip("/").split("/")
            if parts == ["health"]:
                environment = {key: value for key, value in os.environ.items() if key.startswith(("PYTHON", "NUMBA"))}
                slow = {"draft": [100, 10, 50], "normal": [200, 20, 50], "high": [2000, 20, 50]}
                self._json(
                    {
                        "version": "stub",
                        "device": "cpu",
                        "pid": os.getpid(),
                        "environment": environment,
                        "words": sys.argv[1:],
                        "typical_seconds": {"surface": {k: [s * (1 + len(jobs)) for s in v] for k, v in slow.items()}},
                    }
                    | json.loads(os.environ.get("STUB_HEALTH", "{}"))
                )
            elif parts[0].startswith("live?"):
                time.sleep(0.01)
                live["sequence"] += 1
                live["recorded"] = None if live["recorded"] is None else live["recorded"] + 1
                self._json(self._live())
            elif parts == ["seen"]:
                self._json(seen)
            elif parts[0] == "jobs" and parts[1] in jobs:
                self._job(parts[1], *parts[2:])
            else:
                self._refuse(404, "NotFound", "There is no such thing.", "Ask for another.")

    def do_DELETE(self) -> None:
        if self.path == "/live":
            live["wish"] = None
            self._json({"running": False})
        elif self._is_allowed():
            job_id = self.path.rpartition("/")[2]
            seen["forgotten" if jobs[job_id]["asked"] >= DONE else "cancelled"].append(job_id)
            self._json({})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client went away on the way: nothing was uploaded
            self.close_connection = True
            return
        if not self._is_allowed():
            return
        if self.path.startswith("/live"):
            self._post_live(body)
            return
        if self.path.endswith("/preview"):
            request = json.loads(body)
            pixels = bytes([7]) * (request["width"] * request["height"] * 4)
            self._answer(200, pixels, {"X-Sequence": str(request["sequence"]), "X-Milliseconds": "1.5"})
            return
        if self.path.endswith("/bind"):
            self._avatar()
            return
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = list(email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts())
        files = [part for part in parts if part.get_filename()]
        form = {part.get_param("name", header="content-disposition"): part for part in parts if part not in files}
        names = [part.get_filename() for part in files]
        if self.path == "/import":
            seen["uploads"].append({"names": names})
            if b"no head" in files[0].get_payload(decode=True):
                self._refuse(422, "AvatarError", f"{names[0]} is a picture, not a head.", "Choose another.")
            else:
                self._avatar()
            return
        if self.path == "/photos/check":
            usable = b"no face" not in files[0].get_payload(decode=True)
            verdict = {
                "name": names[0],
                "usable": usable,
                "warnings": [],
                "yaw": 0.0,
                "pitch": 0.0,
                "faces": int(usable),
            }
            self._json(verdict | {"message": "Fine." if usable else f"No face was found in {names[0]}."})
        elif len(jobs) >= 8:
            self._refuse(429, "QueueFull", "Too many jobs wait.", "Wait for one.")
        else:
            job_id = f"job{len(jobs)}"
            sizes = [len(part.get_payload(decode=True)) for part in files]
            jobs[job_id] = {"asked": 0, "photos": names}
            fields = {key: part.get_payload(decode=True).decode() for key, part in form.items()}
            seen["uploads"].append({"names": names, "sizes": sizes} | fields)
            self._json({"id": job_id}, 202)

    def _job(self, job_id: str, wants: str = "") -> None:
        job = jobs[job_id]
        if wants == "take":
            self._answer(200, TAKE.encode())
            return
        if wants == "avatar":
            self._avatar()
            return
        if MODE != "slow":
            job["asked"] += 1
        state = "done" if job["asked"] >= DONE else "running"
        status = {"id": job_id, "name": "", "state": state, "stage": "tracking", "stage_index": 1, "stage_count": 4}
        status |= {"fraction": job["asked"] / DONE, "eta_s": 3.0, "seconds": {}, "error": None, "a_newer_entry": 1}
        self._json(status | {"set_aside": [], "warnings": ["It is dark."], "photos": job["photos"]})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_allowed():
            if self.path == "/live/settings":
                live["wish"]["settings"] = json.loads(body)
            self._json({})

    def _post_live(self, body: bytes) -> None:
        if self.path == "/live":
            wish = json.loads(body)
            if wish["port"] == TAKEN:
                self._refuse(422, "EngineError", "Port 9 of 127.0.0.1 is taken.", "Close the other program.")
                return
            live.update(wish=wish, recorded=None)
            seen["live"] = wish
            self._json(self._live())
        elif self.path == "/live/neutral":
            self._json({"weights": {"jawOpen": 0.125}, "turns": {"head": [0.1, 0.0, 0.0]}})
        elif self.path == "/live/recording":
            live["recorded"] = 0
            self._json({})
        else:
            self._answer(200, TAKE.encode(), {"X-Take": "Ada_10-00-00"})

    def _live(self) -> dict:
        settings = live["wish"] and live["wish"]["settings"]
        status = {"running": settings is not None, "sequence": live["sequence"], "recorded": live["recorded"]}
        if settings is None:
            return status | {"ended": "The phone was switched off."}
        named = {"brows": "browInnerUp", "mouth": "jawOpen"}
        weights = {name: 0.25 * settings["gain"] for part, name in named.items() if part in settings["parts"]}
        turns = {"head": [0.1, 0.2, 0.0]} if "head" in settings["parts"] else {}
        status |= {"connected": True, "fps": 60, "port": 11111, "subject": "Ada", "a_newer_entry": 1}
        return status | {"time": live["sequence"] / 60, "weights": weights, "turns": turns}

    def _avatar(self) -> None:
        path = os.environ.get("STUB_AVATAR")
        self._answer(200, Path(path).read_bytes() if path else b"avatar")

    def _is_allowed(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {TOKEN}":
            return True
        self._refuse(401, "Unauthorized", "The engine's token is missing or wrong.", "Check its token.")
        return False

    def _refuse(self, status: int, kind: str, message: str, hint: str) -> None:
        self._json({"error": {"type": kind, "message": message, "hint": hint}}, status)

    def _json(self, value: dict, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


def watch_parent() -> None:
    while os.read(0, 100):
        pass
    os._exit(0)


def main() -> None:
    threading.Thread(target=watch_parent, daemon=True).start()
    if MODE == "crash":
        sys.exit("ImportError: a library is missing")
    if MODE == "silent":
        time.sleep(60)
    if MODE == "babble":  # as libraries do, and then it takes its time
        print("Hello", flush=True)
        for count in range(1, 9):
            print(json.dumps({"starting": 100 * count}), flush=True)
            time.sleep(0.2)
    if MODE == "refuse":
        error = {"type": "AssetError", "message": "A data file is missing.", "hint": "Install the extension again."}
        print(json.dumps({"ready": False, "error": error}), flush=True)
        sys.exit(6)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"ready": True, "url": f"http://127.0.0.1:{server.server_port}", "pid": os.getpid()}), flush=True)
    server.serve_forever()


main()
