"""``python -m vidlearn``."""

import sys

from vidlearn.cli import main

sys.exit(main())
