"""Python blocks of the pages run as they stand, on small data of the names that they use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny_models import tensors_of, write_model

from trimcache import scan

_DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_blocks_of_the_page_on_online_caching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("model@main", "tuned@main")):
        write_model(tmp_path / "zoo" / "org" / name, tensors_of(x=0, y=number))
    scan(tmp_path / "zoo", tmp_path / "zoo.catalog")
    (tmp_path / "requests.csv").write_text("time,site,model\n2,s,model@main\n1,s,org/tuned@main\n3,s,model@main\n")
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", (_DOCS / "online.md").read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(code, "online.md", "exec"), names)
    totals, served = capsys.readouterr().out.splitlines()
    assert totals.count("0.33") == 3  # the third request hits under every policy
    assert served.startswith("[False]")
