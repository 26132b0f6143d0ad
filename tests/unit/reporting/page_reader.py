"""What a browser would make of a page."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "path", "circle", "line", "rect", "image"}
ADDRESSES = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}


class Page(HTMLParser):
    """Collects what a browser would do with the page, and fails on tags that do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags, self.words, self.handlers = [], [], [], [], []
        self.source = text
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ADDRESSES]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def loads_nothing(self):
        """Whether all that the page needs is inside it, with a policy that holds a browser to that."""
        return (
            all(address.startswith(("#", "data:")) for address in self.addresses)
            and not {"script", "iframe", "object", "embed"} & set(self.tags)
            and not any(loader in self.source.lower() for loader in ("http:", "https:", "url(", "@import"))
            and "default-src 'none'" in self.source
        )

    def has_every_target(self):
        """Whether every address within the page exists."""
        targets = [address for address in self.addresses if address.startswith("#")]
        return bool(targets) and all(f'id="{target[1:]}"' in self.source for target in targets)
