"""What options of several commands have in common."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
