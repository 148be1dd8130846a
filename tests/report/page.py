"""Reading a report back."""

import base64
import io
from html.parser import HTMLParser

from PIL import Image

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Checks that the tags nest; collects texts, pictures and attributes."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open, self.texts, self.images, self.links = [], [], [], []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "img":
            self.images.append(attributes)
        self.links += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(" ".join(data.split()))

    @property
    def text(self):
        return " ".join(text for text in self.texts if text)

    def alts(self):
        return [image["alt"].split(". ")[0] for image in self.images]

    def pictures(self):
        prefix = "data:image/png;base64,"
        for attributes in self.images:
            assert attributes["src"].startswith(prefix)
            raw = base64.b64decode(attributes["src"].removeprefix(prefix), validate=True)
            picture = Image.open(io.BytesIO(raw))
            picture.load()
            assert picture.size == (int(attributes["width"]), int(attributes["height"]))
            yield picture
