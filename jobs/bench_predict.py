"""`raydr predict` beside a bare loop over the same model: photographs of 10 megapixels to probabilities.

Every contender works with a process a CPU, one thread each, over the same files, in the same rounds:

  predict    `raydr predict` on a Ray cluster: the listing, an actor a core, parts on disk, the table in order
  loop       a bare pool of processes, each with the network: read, `Preprocess`, a batch through the network; no more

A contender scores a few photographs and many. What the many take longer gives images a second in steady state, and
what is left of the first run's time is its start-up.

  python jobs/bench_predict.py --json bench_predict.json
"""

# Processes that are spawned read this file again: what is heavy is imported where it is used.
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bench_ingest import LEAST_MEGAPIXELS, steady, write_photographs
from benchmark import Figure, arguments, interleaved, publish

_PER_PROCESS = 300  # photographs of the longer run, a third of them of the shorter: each is many tasks of 64


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--originals", type=Path, help="folder of photographs to make the files from; else phantoms")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes of every contender")
    parser.add_argument("--backbone", default="resnet18", help="timm's name of the network")
    parser.add_argument("--side-px", type=int, default=224, help="side of the network's input")
    parser.add_argument("--many", type=int, help=f"images of the longer of two runs ({_PER_PROCESS} a process)")
    options = parser.parse_args()
    from raydr.workflows.environment import set_environment

    set_environment(None)
    import predict_contenders as contenders

    from raydr.config.site import ClusterSettings
    from raydr.workflows.cluster import connected

    shared = Path("../shared/data/originals")
    folder = options.originals or (shared if shared.is_dir() else None)
    scratch = Path(tempfile.mkdtemp(prefix="raydr-bench-"))
    many = options.many or (60 if options.quick else _PER_PROCESS * options.processes)
    try:
        num_files = 8 if options.quick else 200
        sys.stderr.write(f"writing {num_files} JPEGs of at least {LEAST_MEGAPIXELS:g} megapixels\n")
        (scratch / "photographs").mkdir()
        paths = write_photographs(scratch / "photographs", folder, num_files)
        model = contenders.write_model(str(scratch / "model"), options.backbone, options.side_px)
        with connected(ClusterSettings(local_cpus=options.processes, object_store_mib=500)):
            runs = {
                name: functools.partial(
                    steady, functools.partial(run, paths, model, options.processes), many // 3, many
                )
                for name, run in {"predict": contenders.predict, "loop": contenders.loop}.items()
            }
            found = interleaved(runs, rounds=options.rounds or (1 if options.quick else 5))
    finally:
        shutil.rmtree(scratch)
    figures = {name: Figure("images/s", one["images_per_s"]) for name, one in found.items()}
    figures |= {f"{name} start-up": Figure("s", one["start_up_s"]) for name, one in found.items()}
    publish(figures, [("predict", "loop")], file=options.json)


if __name__ == "__main__":
    main()
