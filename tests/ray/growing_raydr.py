"""Run by test_autoscaling: `raydr` that soon takes new nodes in, and whose GPUs are only counted."""

import sys

from raydr.workflows.environment import set_environment

if __name__ == "__main__":
    set_environment(None)  # before Ray is imported
    from raydr import cli
    from raydr.training import trainer
    from raydr.training.rendezvous import FileRendezvous
    from raydr.workflows import live

    trainer._RESIZE_EVERY_S, trainer._START_SHRUNK_S, live._LOG_EVERY_S = 4.0, 15.0, 0.0
    trainer.rendezvous = lambda _: FileRendezvous(backend="gloo")
    sys.exit(cli.main())
