"""What a browser would make of a page."""

import base64
import hashlib
import json
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "path", "circle", "line", "rect", "image", "input"}
ADDRESSES = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}


class Page(HTMLParser):
    """Collects what a browser would do with the page, and fails on tags that do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags, self.words, self.handlers = [], [], [], [], []
        self.scripts = []
        self.source = text
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ADDRESSES]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag == "script":
            self.scripts.append((dict(attributes).get("type", ""), []))
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
        is_script = bool(self.open) and self.open[-1] == "script"
        (self.scripts[-1][1] if is_script else self.words).append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def data(self):
        """What the page's script finds in it."""
        return [json.loads("".join(parts)) for kind, parts in self.scripts if kind == "application/json"]

    def loads_nothing(self):
        """Whether all that the page needs is inside it, with a policy that holds a browser to that."""
        return (
            all(address.startswith(("#", "data:")) for address in self.addresses)
            and not {"iframe", "object", "embed"} & set(self.tags)
            and not any(loader in self.source.lower() for loader in ("http:", "https:", "url(", "@import"))
            and "default-src 'none'" in self.source
            and self.runs_only_its_own_script()
        )

    def runs_only_its_own_script(self):
        """Whether the policy names every script that would run by its digest, and allows no other one."""
        policy = self.source.partition('Content-Security-Policy" content="')[2].partition('"')[0]
        allowed = [rule.split()[1:] for rule in policy.split(";") if rule.split()[0] == "script-src"]
        digests = [
            f"'sha256-{base64.b64encode(hashlib.sha256(''.join(parts).encode()).digest()).decode()}'"
            for kind, parts in self.scripts
            if kind != "application/json"
        ]
        return allowed == ([digests] if digests else [])

    def has_every_target(self):
        """Whether every address within the page exists."""
        targets = [address for address in self.addresses if address.startswith("#")]
        return bool(targets) and all(f'id="{target[1:]}"' in self.source for target in targets)
