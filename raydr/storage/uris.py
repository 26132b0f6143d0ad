"""Names of files: local paths, and URIs as they stand, with nothing in them percent-encoded."""

from pathlib import Path


def absolute(uri: str) -> str:
    """``uri`` as it is where it has a scheme, else as an absolute local path without ``..``.

    Workers have other current folders.
    """
    if "://" in uri:
        return uri
    path = Path(uri).expanduser().absolute()
    if ".." not in path.parts:
        return str(path)
    # What is above a link is above the folder that it leads to, so that the file system is asked, but no further than
    # the last `..`: a link behind it is a name that was chosen.
    last = len(path.parts) - path.parts[::-1].index("..")
    return str(Path(*path.parts[:last]).resolve().joinpath(*path.parts[last:]))


def join(uri: str, *parts: str) -> str:
    """``uri`` with parts below it."""
    return "/".join([uri.rstrip("/"), *parts])


def bucket_of(uri: str) -> str:
    """The URI of the bucket (or host) that ``uri``, in an object store, is in."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def is_local(uri: str) -> bool:
    """Whether ``uri`` is on this machine's file system."""
    return "://" not in uri or uri.startswith("file://")
