"""A headless Chromium, controlled by the DevTools protocol over two pipes.

https://chromedevtools.github.io/devtools-protocol/: messages are JSON, each ended by a zero byte.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (apt install chromium)")
_LAUNCH = "import os, sys; a = sys.argv; os.dup2(int(a[1]), 3); os.dup2(int(a[2]), 4); os.execv(a[3], a[3:])"


class Page:
    """A tab of the browser."""

    def __init__(self, to: int, of: int) -> None:
        self.to, self.of, self.rest, self.number, self.session = to, of, b"", 0, ""

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method and return its result; events that arrive meanwhile are ignored."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                chunk = os.read(self.of, 1 << 16)
                assert chunk, "Chromium has exited"
                self.rest += chunk
            answer, self.rest = self.rest.split(b"\0", 1)
            found = json.loads(answer)
            if found.get("id") == self.number:
                assert "error" not in found, found
                return found["result"]

    def open(self, url: str) -> None:
        """Navigate to a page and wait until it is loaded."""
        self.call("Page.navigate", url=url)
        while self.run("document.readyState + ' ' + location.href") != f"complete {url}":
            pass

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def place(self, selector: str) -> tuple[float, float]:
        found = f"const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
        box = "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2];"
        x, y = self.run(f"(() => {{ {found} {box} }})()")
        return x, y

    def hover(self, selector: str) -> None:
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        x, y = self.place(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


@contextmanager
def started(folder: Path) -> Iterator[Page]:
    """A browser with an empty tab, with its profile in `folder`."""
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for pipe in (os.pipe(), os.pipe()) for end in pipe]
    its_in, our_out, our_in, its_out = ends
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
    options += ["--window-size=1280,1000", f"--user-data-dir={folder / 'profile'}"]
    process = subprocess.Popen(
        [sys.executable, "-c", _LAUNCH, str(its_in), str(its_out), str(PROGRAM), *options],
        pass_fds=(its_in, its_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_in)
    os.close(its_out)
    page = Page(our_out, our_in)
    try:
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        yield page
        page.session = ""
        page.call("Browser.close")
    finally:
        process.kill()
        process.wait()
        os.close(our_out)
        os.close(our_in)
