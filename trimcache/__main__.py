"""``python -m trimcache`` is the command line."""

from trimcache.cli import run

if __name__ == "__main__":
    run()
