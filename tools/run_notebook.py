"""Run a notebook from top to bottom and keep its outputs: ``python tools/run_notebook.py examples/tutorial.ipynb``."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

# What differs from run to run or from machine to machine is not kept.
_KEPT_METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
_TIMEOUT_S = 600


def run_notebook(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook at ``path`` with fresh outputs, run in ``folder``.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message is its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = nbformat.from_dict(_KEPT_METADATA)
    there = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=_TIMEOUT_S, record_timing=False, coalesce_streams=True, resources=there).execute()
    notebook.metadata = nbformat.from_dict(_KEPT_METADATA)
    return notebook


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        nbformat.write(run_notebook(Path(argument), Path(argument).parent), argument)
