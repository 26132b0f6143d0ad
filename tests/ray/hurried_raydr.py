"""Run by test_interrupted_commands: `raydr` that streams and shows every figure, and soon does without MLflow."""

import sys

from raydr.workflows.environment import set_environment

if __name__ == "__main__":
    set_environment(None)  # before Ray is imported
    from raydr import cli
    from raydr.tracking import patience
    from raydr.workflows import images, live

    images.fits_memory = lambda *_, **__: False
    live._LOG_EVERY_S = 0.0
    patience._RETRY_S = patience._PAUSE_S = 0.5
    sys.exit(cli.main())
