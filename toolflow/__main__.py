"""``python -m toolflow``."""

import sys

from toolflow.cli import main

sys.exit(main())
