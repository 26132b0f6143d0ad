"""The command line: one verb a stage, settings from TOML; 0 done, 1 failed, 2 bad settings or input."""

import argparse
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Protocol

from raydr import __version__
from raydr.cluster_commands import add_doctor, add_progress_option, add_submit, doctor_settings, speak_as
from raydr.config_commands import add_config, show_settings
from raydr.errors import InputError, RunError, SettingsError, StoppedRun

STORY = """\
raydr turns a bucket of fundus photographs and a handful of labels into a validated
diabetic-retinopathy classifier, on a laptop or on an autoscaled GPU cluster.

  index ──► prepare ──► pretrain ──► finetune ──► search ──► evaluate ──► predict
  images +   decode,     learn from   teacher on   students   AUC with     scores for
  labels →   crop,       all images,  the few      in         interval,    new images
  manifest   shards      no labels    labels       parallel   report
"""

VERBS = {
    "index": "photographs and labels into a manifest, splits by patient, a label budget",
    "prepare": "decode, crop and shrink every photograph once, into shards",
    "pretrain": "teach a backbone to see on every training image, without labels",
    "finetune": "the teacher: a classifier from the backbone and the few labels",
    "distill": "one student of the teacher, with fixed settings",
    "search": "many students in parallel; the best settings make the final one",
    "evaluate": "a model, or anybody's scores, on test sets: AUC with interval, thresholds, a report",
    "predict": "the probability of referable retinopathy for new photographs",
    "compare": "two models on the same patients: the difference of their AUC, with interval",
    "export": "a model as one file for other programs, ONNX or torch.export, checked against the original",
    "run": "the whole chain from one file; run again, it does only what is left",
    "study": "what labels are worth: ways of learning against budgets of labels, a table and a curve",
    "plan": "how many CPUs feed how many GPUs, the bytes and the hours, before a cluster is rented",
}

EXAMPLES = """\
examples:
  raydr run --config jobs/demo.toml                        the whole chain on made-up eyes, minutes on a laptop
  raydr run --config mine.toml --config cluster/local.toml --set seed=1
  raydr study --config jobs/label_efficiency.toml          AUC against number of labels, an arm a line
  raydr predict --model runs/demo/search/model --images photos/ --out scores.parquet
  raydr compare runs/a/evaluate-student runs/b/evaluate-student --out a-or-b
  raydr evaluate --scores scores.csv --labels labels.csv --out evaluation
  raydr plan --config jobs/plan.toml                       how many CPUs for how many GPUs?
  raydr doctor --config jobs/run.toml --config cluster/SITE.toml     would it run on that cluster?
  raydr submit --follow -- run --config jobs/run.toml --config cluster/SITE.toml     as a job of a Ray cluster
  raydr config check jobs cluster                          are all files right?

exit status: 0 done, 1 failed, 2 settings or input that cannot be used; ended by a signal: 130 Ctrl-C, 143 SIGTERM.
The first signal lets a training save where it is (cluster.stop_grace_s), the second ends at once;
either way the same command goes on from what was saved.
"""

FLAGS = {
    "evaluate": {
        "model": "checkpoint folder or MLflow model URI, models:/raydr@champion",
        "scores": "instead of a model: CSV or Parquet file of scores, image_id and probability",
        "labels": "what is known of the same images: image_id, grade, patient_id, ...",
        "out": "folder of the results",
    },
    "predict": {
        "model": "checkpoint folder or MLflow model URI, models:/raydr@champion",
        "images": "folder, glob or manifest of photographs",
        "out": "where the scores go, scores.parquet or scores.csv",
    },
    "export": {
        "model": "checkpoint folder or MLflow model URI, models:/raydr@champion",
        "format": "onnx or torch-export",
        "images": "photographs on which it is checked; without them made-up eyes are",
        "out": "folder of the exported model",
    },
    "compare": {"out": "folder of the results"},
}
"""Settings that have a flag of their own, by verb."""

POSITIONS = {
    "compare": {
        "first": ("A", "the `out` of a finished evaluate, or a CSV or Parquet file of scores"),
        "second": ("B", "the same of the other model"),
    },
}
"""Settings that are given by their place on the command line, by verb: what help calls them, and what they are."""


class StageResult(Protocol):
    """What every verb returns, as far as the command line is concerned."""

    @property
    def uri(self) -> str:
        """Where its `result.json` is."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception, so that what is open is closed.

    A KeyboardInterrupt, since Ray, waiting for a result, lets no other exception of a signal handler through; it passes
    on one of its own making, so whether it was SIGTERM is remembered in ``received``.
    """

    received: ClassVar[bool] = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without arrows must not fail the job
    options = build_parser().parse_args(arguments)
    name = f"raydr {options.verb}"
    try:
        with sigterm_raises():
            status = options.command(options)
            sys.stdout.flush()
    except StoppedRun as stop:
        word = "terminated" if stop.number == signal.SIGTERM else "interrupted"
        return _fail(128 + stop.number, f"{name}: {word}: {stop}")
    except KeyboardInterrupt:
        return _fail(143, f"{name}: terminated") if Terminated.received else _fail(130, f"{name}: interrupted")
    except SystemExit as stop:
        if stop.code != signal.SIGTERM:  # that is how Ray's own handler ends a driver
            raise
        return _fail(143, f"{name}: terminated")
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:  # noqa: BLE001 - the last resort of a command line
        return _report(error, name)
    return int(status or 0)


def build_parser() -> argparse.ArgumentParser:
    """The parser of every verb; building it imports no settings and no libraries."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("raydr", description=STORY, epilog=EXAMPLES, formatter_class=plain)
    parser.add_argument("--version", action="version", version=f"raydr {__version__}")
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for verb, text in VERBS.items():
        one = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.", formatter_class=plain)
        _add_settings_options(one, verb)
        one.add_argument("--dry-run", action="store_true", help="print the effective settings as TOML and stop")
        add_progress_option(one)
        one.set_defaults(command=_run_verb)
    add_submit(verbs, settings_of=_settings_of)
    _add_settings_options(add_doctor(verbs), "doctor")
    for verb, one in add_config(verbs, VERBS, settings_of=_settings):
        _add_settings_options(one, verb)
    return parser


def _add_settings_options(parser: argparse.ArgumentParser, verb: str) -> None:
    repeated: Any = {"action": "append", "default": []}
    overlays = "TOML settings; repeat it for overlays, later files win"
    parser.add_argument("--config", **repeated, type=Path, metavar="FILE", help=overlays)
    parser.add_argument(
        "--set",
        **repeated,
        metavar="KEY=VALUE",
        help="one setting by its dotted key, over every file: --set cluster.num_workers=2 (null unsets)",
    )
    for name, (shown, text) in POSITIONS.get(verb, {}).items():
        parser.add_argument(name, nargs="?", metavar=shown, help=text)
    for name, text in FLAGS.get(verb, {}).items():
        parser.add_argument(f"--{name}", help=text)


def _settings(verb: str, options: argparse.Namespace) -> Any:
    from raydr.config.load import COMMAND_LINE, assignments, load

    overrides = assignments(options.set)
    given = {name: getattr(options, name) for name in (*POSITIONS.get(verb, {}), *FLAGS.get(verb, {}))}
    overrides |= {name: value for name, value in given.items() if value is not None}
    if not options.config and not overrides:
        raise SettingsError([f"{COMMAND_LINE}: --config: is required and missing; try jobs/{verb}.toml"])
    return load(verb, options.config, overrides=overrides)


def _settings_of(words: Sequence[str]) -> Any:
    """What a command line, the verb first, would run with."""
    options = build_parser().parse_args(words)
    if options.verb in VERBS:
        return _settings(options.verb, options)
    if options.verb == "doctor":
        return doctor_settings(options)
    raise InputError(f"{options.verb}: runs here, not as a job; allowed: {', '.join(VERBS)}, doctor")


def _run_verb(options: argparse.Namespace) -> None:
    settings = _settings(options.verb, options)
    if options.dry_run:
        show_settings(settings)
        return
    from raydr.workflows.environment import set_environment

    set_environment(settings.cluster.address)
    speak_as(options)
    result = dispatch(options.verb, settings)
    from raydr.workflows.console import say

    say(f"result: {result.uri}", result=result.uri)


def dispatch(verb: str, settings: Any) -> StageResult:
    """Run one verb; only its workflow is imported."""
    if verb not in VERBS:
        raise InputError(f"{verb}: no such verb; allowed: {', '.join(VERBS)}")
    from raydr.workflows.loading import workflow_of

    result: StageResult = workflow_of(verb)(settings)
    return result


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Within the block SIGTERM raises Terminated, as Ctrl-C raises KeyboardInterrupt."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        Terminated.received = True
        raise Terminated

    Terminated.received = False
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)


def _report(error: Exception, name: str) -> int:
    """Say what went wrong and return the exit status; Ray wraps what a task raised, so its cause is what counts."""
    cause = getattr(error, "cause", None)
    told = cause if isinstance(cause, Exception) else error
    if isinstance(told, InputError | RunError):
        lines = told.lines if isinstance(told, SettingsError) else str(told).splitlines()
        return _fail(2 if isinstance(told, InputError) else 1, *(f"raydr: {line}" for line in lines))
    from raydr.storage import StoreError, UnavailableError

    if isinstance(told, StoreError):
        return _fail(1 if isinstance(told, UnavailableError) else 2, f"raydr: {told}")
    traceback.print_exception(error)
    first = next((line.strip() for line in str(told).splitlines() if line.strip()), "no message")
    return _fail(1, f"{name}: failed: {type(told).__name__}: {first}")


def _fail(status: int, *lines: str) -> int:
    sys.stdout.flush()
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    return status
