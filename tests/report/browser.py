"""Pages in a headless Chromium: what its console says, and what a script finds on a page."""

import json
import re
import shutil
import subprocess

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
_FOUND = re.compile(r'<pre id="found">(.*?)</pre>', re.DOTALL)


def look(path, scratch, *, script="({})", width=1200, height=900):
    """Open a page, run an expression in it, and give its value and the lines of the console.

    The page is copied into the folder `scratch` of the page, with the expression at its end.
    """
    probe = (
        "<script>window.addEventListener('load', () => { const found = " + script + ";"
        "const place = document.createElement('pre'); place.id = 'found';"
        "place.textContent = JSON.stringify(found); document.body.append(place); });</script>"
    )
    copy = path.with_name(f"probe-{path.name}")
    copy.write_text(path.read_text(encoding="utf-8").replace("</body>", probe + "</body>"))
    try:
        done = run(f"--window-size={width},{height}", "--dump-dom", copy.as_uri(), scratch=scratch)
    finally:
        copy.unlink()
    found = _FOUND.search(done.stdout)
    assert found, done.stderr[-2000:]
    text = found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(text.replace("&amp;", "&")), console


def run(*arguments, scratch):
    """Chromium without a window, without a network, with a profile of its own."""
    return subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         "--hide-scrollbars", "--disable-background-networking", "--no-first-run",
         "--disable-dev-shm-usage", f"--user-data-dir={scratch / 'profile'}", *arguments],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
