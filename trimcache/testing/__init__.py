"""For those who add a file format: what every extractor promises, as a pytest class to subclass.

    from trimcache.testing import Expected, ExtractorContract, Sample

    class TestMyFormat(ExtractorContract):
        def make_extractor(self):
            return MyExtractor()

        def write_valid(self, folder):
            (folder / "small.my").write_bytes(...)
            return [Sample(folder / "small.my", {"layer.weight": Expected("float32", (2, 3), b"...")})]

- :mod:`trimcache.testing.extractor_contract` is the suite and says what it checks,
- :mod:`trimcache.testing.range_only` holds sources that have no path and count what is read.

This is the only room of trimcache that needs pytest, and nothing else in it imports this room.
"""

import pytest

pytest.register_assert_rewrite("trimcache.testing.extractor_contract")  # a failed assertion shows both sides, as in a test file

from trimcache.testing.extractor_contract import (  # noqa: E402
    Expected,
    ExtractorContract,
    Sample,
    check_message,
    check_valid,
)
from trimcache.testing.range_only import RangeOnlyPart, RangeOnlySource  # noqa: E402

__all__ = ["Expected", "ExtractorContract", "RangeOnlyPart", "RangeOnlySource", "Sample", "check_message", "check_valid"]
