"""Lets `python -m rlverify` do what the command does."""

import sys

from rlverify.cli import main

if __name__ == "__main__":
    sys.exit(main())
