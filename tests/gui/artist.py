"""An artist before a real Blender: reads words on the screen, moves the mouse, presses keys, drags."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from PIL import Image

from tests.gui.reading import Word, find, read
from tests.gui.real_blender import RealBlender, Window

SCREEN = (1600, 1000)
SIDEBAR = (1030, 95, 1290, 905)  # the 3D View's, wide open
TABS = (1287, 95, 1312, 500)
STILL = 4  # px; readings differ a little
SETTLE = 0.6  # s, from the mouse's arrival to the click: Blender highlights first


class Artist:
    """Works in a window; every step can be seen on a screenshot.

    Args:
        pictures: folder for one screenshot per :meth:`show`.
    """

    def __init__(self, window: Window, blender: RealBlender, share: Path, pictures: Path):
        self._window = window
        self._blender = blender
        self._share = share
        self._pictures = pictures
        self._count = 0

    def do(self, *steps: str) -> None:
        """xdotool commands, one after the other."""
        self._window.steps("; sleep 0.3; ".join(f"xdotool {step}" for step in steps))

    def point(self, place: Word | tuple[int, int]) -> None:
        x, y = (place.x, place.y) if isinstance(place, Word) else place
        self.do(f"mousemove {x} {y}")
        time.sleep(SETTLE)

    def click(self, text: str, box: tuple[int, int, int, int] = SIDEBAR, *, last: bool = False) -> None:
        """Click where a text stands; the ``last`` of several places or the first."""
        self.point(self.see(text, box, last=last))
        self.do("click 1")
        time.sleep(SETTLE)

    def open_tab(self, text: str) -> None:
        self.point(self.see(text, TABS, turned=True))
        self.do("click 1")
        time.sleep(1.0)

    def drag(self, place: Word, right: int) -> None:
        """Drag a slider by ``right`` pixels."""
        self.point(place)
        self.do("mousedown 1")
        for k in range(1, 6):  # slowly: each step redraws the head
            self.do(f"mousemove {place.x + right * k // 5} {place.y}")
            time.sleep(SETTLE)
        self.do("mouseup 1")
        time.sleep(SETTLE)

    def see(
        self,
        text: str,
        box: tuple[int, int, int, int] = SIDEBAR,
        *,
        last: bool = False,
        turned: bool = False,
        seconds: float = 60.0,  # other lanes may keep the machine busy
    ) -> Word:
        """Look until a text stands still on the screen (panels fold slowly); where it is.

        Raises:
            AssertionError: it does not appear; says what is there instead.
        """
        end = time.monotonic() + seconds
        before: Word | None = None
        shown: bytes | None = None
        lines: list[list[Word]] = []
        picture = self._share / "look.png"
        while True:
            self._window.screenshot(picture)
            with Image.open(picture) as screen:
                now = screen.crop(box).tobytes()
            if now != shown:  # reading takes seconds, and the same picture says the same
                shown, lines = now, read(self._blender, picture, box, turned=turned)
            place = find(lines[::-1] if last else lines, text)
            if place and before and abs(place.x - before.x) + abs(place.y - before.y) <= STILL:
                return place
            before = place
            seen = "\n".join(" ".join(word.text for word in words) for words in lines)
            assert time.monotonic() < end, f"“{text}” is not on the screen. There is:\n{seen}"

    def call(self, code: str, seconds: float = 60.0) -> list:
        """Run Python in Blender, between two of its events; what it puts into its list ``out``.

        Raises:
            AssertionError: it raised something, or Blender never came to it.
        """
        answer = self._share / "answer.json"
        answer.unlink(missing_ok=True)
        (self._share / "call.part").write_text(code, "utf-8")
        (self._share / "call.part").rename(self._share / "call.py")
        self._window.wait_for(answer.exists, seconds)
        out = json.loads(answer.read_text("utf-8"))
        assert not (out and str(out[-1]).startswith("Traceback")), out[-1]
        return out

    def is_alive(self, beside: tuple[int, int], head: tuple[int, int]) -> bool:
        """Whether the main window takes clicks: one on nothing and one on the head, in the 3D View."""
        for place, counts in ((beside, (0,)), (head, (4, 5))):  # all parts of a head; with hair there is one more
            self.do(f"mousemove {place[0]} {place[1]} sleep 0.2 click 1")
            try:
                self.wait(lambda state, counts=counts: state["selected"] in counts, 10)
            except AssertionError:
                return False
        return True

    @property
    def log(self) -> str:
        """What Blender has printed."""
        return self._window.log

    @property
    def state(self) -> dict:
        """What the probe inside Blender wrote down last."""
        return json.loads((self._share / "state.json").read_text("utf-8"))

    def wait(self, is_true, seconds: float = 60.0) -> dict:
        """The first state for which ``is_true(state)`` holds."""
        self._window.wait_for(lambda: is_true(self.state), seconds)
        return self.state

    def forget_stalls(self) -> None:
        """Let the probe measure anew how long Blender's main thread was away."""
        request = self._share / "forget_stalls"
        request.touch()
        self._window.wait_for(lambda: not request.exists(), 10)

    def show(self, name: str) -> None:
        """Keep a screenshot."""
        self._count += 1
        self._pictures.mkdir(parents=True, exist_ok=True)
        self._window.screenshot(self._pictures / f"{self._count:02}_{name}.png")


def pictures_folder(default: Path) -> Path:
    """Where screenshots go: ``GAUSSIAN_HEADS_PICTURES`` or ``default``."""
    return Path(os.environ.get("GAUSSIAN_HEADS_PICTURES") or default)
