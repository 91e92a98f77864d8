"""`python -m webapp.api > docs/schemas/openapi.json` updates the document."""

from __future__ import annotations

import sys

from webapp.api.openapi import text

if __name__ == "__main__":
    sys.stdout.write(text())
