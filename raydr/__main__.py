"""`python -m raydr`, as in `ray job submit`."""

import sys

from raydr.cli import main

sys.exit(main())
