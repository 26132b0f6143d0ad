"""The command lines about settings: `raydr config check`, `show` and `schema`."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from raydr.errors import SettingsError

SettingsOf = Callable[[str, argparse.Namespace], Any]
"""What a verb would run with, by its parsed options."""


def add_config(
    verbs: Any, known: Mapping[str, str], *, settings_of: SettingsOf
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Add `raydr config` to the verbs; yields the parser of each of the ``known`` verbs that is to take settings."""
    plain = argparse.RawDescriptionHelpFormatter
    config = verbs.add_parser("config", help="check, show and describe settings", formatter_class=plain)
    actions = config.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="validate job files and overlays, one line a file")
    check.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a TOML file, or a folder of them")
    check.set_defaults(command=_check)
    schema = actions.add_parser("schema", help="every setting of a verb as a JSON schema")
    schema.add_argument("shown", choices=known, metavar="VERB")
    schema.set_defaults(command=_schema)
    show = actions.add_parser("show", help="the effective settings as TOML: what a verb would run with")
    shown = show.add_subparsers(title="verbs", dest="shown", metavar="VERB", required=True)

    def show_documented(options: argparse.Namespace) -> None:
        show_settings(settings_of(options.shown, options), documented=True)

    for verb, text in known.items():
        one = shown.add_parser(verb, help=text)
        one.set_defaults(command=show_documented)
        yield verb, one


def show_settings(settings: Any, *, documented: bool = False) -> None:
    """Print settings as TOML, without the passwords in them."""
    from raydr.config.show import as_toml
    from raydr.tracking.store import without_credentials

    sys.stdout.write(without_credentials(as_toml(settings, documented=documented)))


def _check(options: argparse.Namespace) -> None:
    from raydr.config.load import check

    problems: list[str] = []
    for path in options.paths:
        files = sorted(path.rglob("*.toml")) if path.is_dir() else [path]
        if not files:
            problems.append(f"{path}: holds no TOML files")
        for file in files:
            try:
                sys.stdout.write(f"ok {file} {check(file)}\n")
            except SettingsError as error:
                problems += error.lines
    if problems:
        raise SettingsError(problems)


def _schema(options: argparse.Namespace) -> None:
    from raydr.config.jobs import JOBS

    sys.stdout.write(json.dumps(JOBS[options.shown].model_json_schema(), indent=2) + "\n")
