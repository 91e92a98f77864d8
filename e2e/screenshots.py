"""`make screenshots`: the pictures of the docs, taken by a real browser of the payouts example with a real history.

The example is copied and its demo run in the copy, with a clock that spreads its batches over the last days. What the
pictures show of times is relative to now, and the ids are always the same, so that two makings differ little.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import random
import shutil
import struct
import sys
import tempfile
import uuid
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from e2e.people import People, launch
from e2e.site import Site
from neurocore.clock import SYSTEM_CLOCK, Clock, Ids
from neurocore.config import load_config
from neurocore.persistence import RunStatus, build_run_store

REPOSITORY = Path(__file__).resolve().parents[1]
IMAGES = REPOSITORY / "docs" / "images"

#: How long ago each batch was started, and how much later its reviewer answered.
STARTED = {
    "2026-08": timedelta(days=9, hours=3),
    "2026-09": timedelta(days=6, hours=1, minutes=20),
    "2026-10-refunds": timedelta(days=4, hours=5),
    "2026-10": timedelta(days=2, hours=2, minutes=10),
    "2026-11": timedelta(minutes=24, seconds=40),
}
ANSWERED_AFTER = timedelta(minutes=37)

DESK = {"width": 1280, "height": 960}


#: In the browser, which can decode a picture: its size, its 256 most frequent colours, each pixel's nearest of them.
PALETTE = """async (picture) => {
  const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${picture}`)).blob());
  const { width, height } = image;
  const drawing = new OffscreenCanvas(width, height).getContext("2d");
  drawing.drawImage(image, 0, 0);
  const pixels = new Uint32Array(drawing.getImageData(0, 0, width, height).data.buffer);
  const counts = new Map();
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const parts = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const colours = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 256).map(([pixel]) => parts(pixel));
  const nearest = new Map();
  for (const pixel of counts.keys()) {
    const [r, g, b] = parts(pixel);
    let best = 0, least = Infinity;
    colours.forEach(([x, y, z], at) => {
      const far = 2 * (r - x) ** 2 + 4 * (g - y) ** 2 + 3 * (b - z) ** 2;
      if (far < least) [best, least] = [at, far];
    });
    nearest.set(pixel, best);
  }
  let indexed = "";
  for (const pixel of pixels) indexed += String.fromCharCode(nearest.get(pixel));
  return [width, height, colours.flat(), btoa(indexed)];
}"""


class SlowClock(Clock):
    """A clock that is slow by `behind`: the time at which a batch was worked on."""

    behind = timedelta()

    def micros(self) -> int:
        """The time as it was then."""
        return super().micros() - self.behind // timedelta(microseconds=1)


class SeededIds(Ids):
    """Ids that are the same every time."""

    def __init__(self) -> None:
        self._random = random.Random(5)

    def new(self) -> str:
        """The next id."""
        return uuid.UUID(int=self._random.getrandbits(128), version=4).hex


def lay_out(project: Path) -> None:
    """Copy the example without what its runs left, and give it its history."""
    ignored = shutil.ignore_patterns("data", "logs", "outbox", "archive", "__pycache__")
    shutil.copytree(REPOSITORY / "examples" / "payouts", project, ignore=ignored)
    make_history(project)


def make_history(project: Path) -> None:
    """Run the demo in this copy of the example, each batch at its own time, with ids that are the same every time."""
    spec = importlib.util.spec_from_file_location("payouts_demo", project / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    demo: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = demo  # its dataclasses look themselves up
    spec.loader.exec_module(demo)
    demo.say = lambda text: None

    config = load_config(project)
    store = build_run_store(config)
    assert store is not None
    store.clock, store.ids = clock, _ = SlowClock(), SeededIds()

    class Spread(demo.Demo):  # type: ignore[misc]
        def _start(self, batch: Any) -> None:
            clock.behind = STARTED[batch.name]
            super()._start(batch)

        def _answer(self, batch: Any, *, approved: bool) -> None:
            clock.behind = STARTED[batch.name] - ANSWERED_AFTER
            super()._answer(batch, approved=approved)

    Spread(config, store).make_history()
    first = min(run.created_at for run in store.list_runs(limit=100))
    store.close()
    assert first < SYSTEM_CLOCK.after(-86_400), "the history's clock was not asked"


class Camera:
    """Takes pictures of one site into one folder."""

    def __init__(self, people: People, address: str, folder: Path) -> None:
        self.people = people
        self.address = address
        self.folder = folder

    def take(self, name: str, path: str, *, whole: bool = False, **who: Any) -> None:
        """Write `name`.png: what this person (`People.person`) sees at `path`, or the whole page however long."""
        page = self.people.person(**{"timezone_id": "Europe/Berlin", "device_scale_factor": 1.5, **who})
        page.goto(self.address + path)
        page.wait_for_function("() => document.documentElement.classList.contains('script')")
        if page.get_by_label("Approver").count():
            page.get_by_label("Approver").first.fill("ann@example.com")
            page.get_by_label("Approver").first.blur()
        picture = page.screenshot(full_page=whole, animations="disabled", caret="hide")
        (self.folder / f"{name}.png").write_bytes(self._small(picture))

    def _small(self, picture: bytes) -> bytes:
        """The same picture with 256 colours at most: a third of the bytes, and nothing that an eye sees."""
        page = self.people.browser.new_page()
        width, height, colours, indexed = page.evaluate(PALETTE, base64.b64encode(picture).decode())
        page.close()
        pixels = base64.b64decode(indexed)
        rows = b"".join(b"\0" + pixels[at : at + width] for at in range(0, width * height, width))
        header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"PLTE", bytes(colours)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )


def main() -> None:
    """Make the history, serve it, take every picture."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--into", type=Path, default=IMAGES, help="the folder to write to")
    folder: Path = options.parse_args().into
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        site = Site(Path(temporary) / "payouts", lay_out).start()
        try:
            with sync_playwright() as playwright, launch(playwright) as browser:
                take_all(Camera(People(browser), site.address, folder), *_runs(site.root))
        finally:
            site.stop()
    for picture in sorted(folder.glob("*.png")):
        print(f"{picture}: {picture.stat().st_size / 1024:,.0f} KB")


def take_all(camera: Camera, waiting: str, done: str) -> None:
    """Every picture there is: of the run at its gate, of the last one completed, and of the other pages."""
    for dark, suffix in ((False, ""), (True, "-dark")):
        camera.take(f"run{suffix}", f"/runs/{waiting}", dark=dark, viewport=DESK)
        camera.take(f"runs{suffix}", "/runs", dark=dark)
    camera.take("home", "/")
    camera.take("approvals", "/approvals")
    camera.take("blueprint", "/blueprints/payouts")
    camera.take("compare", f"/runs/{done}/compare/{waiting}")
    camera.take("run-phone", f"/runs/{waiting}", phone=True)
    camera.take("runs-phone", "/runs", phone=True)


def _runs(project: Path) -> tuple[str, str]:
    """The run that waits, and the last one that was completed."""
    store = build_run_store(load_config(project))
    assert store is not None
    try:
        found = [store.list_runs(status=status, limit=1)[0] for status in (RunStatus.SUSPENDED, RunStatus.COMPLETED)]
    finally:
        store.close()
    return found[0].run_id, found[1].run_id


if __name__ == "__main__":
    main()
