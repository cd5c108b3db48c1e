"""Serves the gallery: `python -m tests.web [PORT]`."""

import sys
import tempfile
from pathlib import Path

import uvicorn

from tests.web.gallery import gallery

uvicorn.run(gallery(Path(tempfile.mkdtemp())).app, port=int(sys.argv[1]) if len(sys.argv) > 1 else 7799, log_level="warning")
