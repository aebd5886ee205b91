"""`python -m scoresde` is the command `scoresde`."""

import sys

from scoresde.cli import main

sys.exit(main())
