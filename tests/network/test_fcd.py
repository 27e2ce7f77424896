"""Floating-car data in SUMO's XML, CSV and Parquet: the same users at the same places; what is broken or hostile in one line."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimcache.errors import NetworkError, TrimcacheError, UsageError
from trimcache.network.fcd import FloatingCarData
from trimcache.network.mobility import Area, mobility

XML = """<?xml version="1.0" encoding="UTF-8"?>
<!-- generated on 2026-01-01 by Eclipse SUMO sumo <configuration><output><fcd-output value="fcd.xml"/></output></configuration> -->
<fcd-export xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://sumo.dlr.de/xsd/fcd_file.xsd">
    <timestep time="0.00"/>
    <timestep time="100.00">
        <vehicle id="a.0" x="5.10" y="498.35" angle="90.00" type="DEFAULT_VEHTYPE" speed="0.00" pos="5.10" lane="1fi_0" slope="0.00"/>
        <person id="p" x="1.00" y="-2.00" angle="0.00" speed="1.2"/>
    </timestep>
    <timestep time="101.00">
        <vehicle id="a.0" x="7.02" y="498.35"/>
        <vehicle id="7" x="9" y="8"/>
        <container id="box" x="4000" y="4000"/>
    </timestep>
    <timestep time="106.00"><vehicle id="7" x="10" y="8"/></timestep>
    <timestep time="107.00"/>
</fcd-export>
"""
TAGGED = """timestep_time;vehicle_id;vehicle_x;vehicle_y;vehicle_lane
0.00;;;;
100.00;a.0;5.10;498.35;1fi_0
100.00;p;1.00;-2.00;
101.00;a.0;7.02;498.35;1fi_0
101.00;7;9;8;2fi_0
106.00;7;10;8;2fi_0
107.00;;;;
"""
PLAIN = TAGGED.replace("timestep_", "").replace("vehicle_", "").replace(";", ",")
NAN = float("nan")


def parquet_bytes(**changes) -> bytes:
    columns = {
        "timestep_time": [0.0, 100.0, 100.0, 101.0, 101.0, 106.0, 107.0],
        "vehicle_id": [None, "a.0", "p", "a.0", "7", "7", None],
        "vehicle_x": [None, 5.1, 1.0, 7.02, 9.0, 10.0, None],
        "vehicle_y": [None, 498.35, -2.0, 498.35, 8.0, 8.0, None],
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns | changes), sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


FORMS = {
    "fcd.xml": XML.encode(),
    "fcd.xml.gz": gzip.compress(XML.encode()),
    "utf16.xml": XML.replace("UTF-8", "UTF-16").encode("utf-16"),
    "tagged.csv": TAGGED.encode(),
    "tagged.csv.gz": gzip.compress(TAGGED.encode()),
    "plain.csv": PLAIN.encode(),
    "fcd.parquet": parquet_bytes(),
    "coded.parquet": parquet_bytes(vehicle_id=pa.array([None, "a.0", "p", "a.0", "7", "7", None]).dictionary_encode()),
}


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(tmp_path, form):
    data = FloatingCarData.from_file(written(tmp_path, form, FORMS[form]))
    assert data.user_names == ("a.0", "p", "7")
    assert (data.first_s, data.last_s, data.start_s, data.duration_s) == (100.0, 107.0, 100.0, 7.0)
    assert data.area == Area(1.0, -2.0, 10.0, 498.35)
    slots = list(data.slots(None, None, 100, 2, 0))
    assert [slot.time_s for slot in slots] == [0, 2, 4, 6, 8]  # the file ends at 107, in the slot of 106
    gone = [NAN, NAN]
    expected = [
        [[5.1, 498.35], [1.0, -2.0], gone],
        [[7.02, 498.35], gone, [9.0, 8.0]],  # 102: what was said at 101 still holds
        [[7.02, 498.35], gone, [9.0, 8.0]],
        [gone, gone, [10.0, 8.0]],
        [gone, gone, gone],
    ]
    assert np.array_equal([slot.positions_m for slot in slots], expected, equal_nan=True)
    assert len(list(data.slots(None, None, 4, 2, 0))) == 2


def test_a_warm_up_is_left_out(tmp_path):
    path = written(tmp_path, "fcd.xml", XML)
    data = FloatingCarData.from_file(path, start_s=101)
    first = next(data.slots(None, None, 10, 1, 0))
    assert (first.time_s, first.positions_m[0].tolist()) == (0, [7.02, 498.35])
    for outside in (99, 108):
        with pytest.raises(UsageError, match="give 100 to 107"):
            FloatingCarData.from_file(path, start_s=outside)


def test_many_timesteps_in_bounded_memory(tmp_path):
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write("time,id,x,y\n")
        for t in range(500):
            file.writelines(f"{t},car{n},{n + t / 10},{t}\n" for n in range(200))
    data = FloatingCarData.from_file(path)
    tracemalloc.start()
    places = [slot.positions_m[49].tolist() for slot in data.slots(None, None, 500, 100, 0)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert places == [[49 + t / 10, float(t)] for t in range(0, 500, 100)]
    assert peak < 20 * 2**20


def test_a_file_that_changes_meanwhile(tmp_path):
    path = written(tmp_path, "fcd.xml", XML)
    data = FloatingCarData.from_file(path)
    written(tmp_path, "fcd.xml", XML.replace('id="7"', 'id="8"'))
    with pytest.raises(NetworkError, match=r"line 13: has the new vehicle '8'"):
        list(data.slots(None, None, 100, 2, 0))


def test_it_is_a_mobility(tmp_path):
    assert mobility(str(written(tmp_path, "fcd.xml", XML))).user_names == ("a.0", "p", "7")


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
BROKEN = {
    "no such vehicle": ("x.xml", XML.replace(' x="5.10"', ""), "line 6 after time 0: 'a.0' has no x"),
    "NaN": ("x.xml", XML.replace("5.10", "nan", 1), "line 6 after time 0: x 'nan' of 'a.0' is not a finite number"),
    "infinite": ("x.xml", XML.replace("5.10", "-1e999", 1), "line 6 after time 0: x '-1e999' of 'a.0' is not a finite number"),
    "python's digits": ("x.xml", XML.replace("5.10", "5_10", 1), "'5_10'"),
    "no id": ("x.xml", XML.replace('id="p"', ""), "line 7 after time 0: a person has no id"),
    "long id": ("x.xml", XML.replace('id="p"', f'id="{"p" * 300}"'), "very long id"),
    "twice": ("x.xml", XML.replace('id="p"', 'id="a.0"'), "line 7 after time 0: 'a.0' is there twice at time 100"),
    "falling": ("x.xml", XML.replace('time="106', 'time="99'), "line 14: time 99 comes after 101"),
    "standing": ("x.xml", XML.replace('time="106', 'time="101'), "line 14: time 101 comes after 101"),
    "clock": ("x.xml", XML.replace('time="106.00', 'time="00:01:46'), "without --human-readable-time"),
    "no time": ("x.xml", XML.replace('time="106.00"', ""), "line 14 after time 101: 'timestep' has no time"),
    "degrees": ("x.xml", XML.replace("<output>", '<output><fcd-output.geo value="true"/>'), "line 2: holds longitudes and latitudes"),
    "cut": ("x.xml", XML[:-30], "line 15 after time 106: is cut off"),
    "cut in a tag": ("x.xml", XML[: XML.index('<vehicle id="7"') + 9], "line 11 after time 100: is cut off"),
    "cut gzip": ("x.xml.gz", gzip.compress(XML.encode())[:-60], "is cut off"),
    "no gzip": ("x.xml.gz", XML, "cannot be read (Not a gzipped file"),
    "wrong gzip": ("x.xml.gz", gzip.compress(XML.encode())[:40] + b"\x00" * 40, "x.xml.gz line 1"),
    "other XML": ("x.xml", "<routes/>", "line 1: is <routes>, not <fcd-export>"),
    "not XML": ("x.xml", b"\x00\xff" * 50, "line 1: is not XML"),
    "empty": ("x.xml", "", "line 1: is not XML"),
    "nobody": ("x.xml", '<fcd-export><timestep time="0"/></fcd-export>', "holds no vehicle at any time"),
    "unknown encoding": ("x.xml", XML.replace("UTF-8", "klingon"), "write it in UTF-8"),
    "billion laughs": ("x.xml", LAUGHS + XML.partition("\n")[2], "line 1: holds a document type or entities"),
    "external": ("x.xml", '<!DOCTYPE x SYSTEM "file:///etc/passwd">' + XML.partition("\n")[2], "line 1: holds a document type"),
    "entity": ("x.xml", XML.replace("5.10", "&five;", 1), "line 6 after time 0: is not XML (undefined entity)"),
    "deep": ("x.xml", "<fcd-export>" + "<a>" * 100_000, "line 1: is nested more than 16 deep"),
    "many names": ("x.xml", "<fcd-export>" + "".join(f"<n{n}/>" for n in range(50_000)), "more than 1000 names"),
    "many attributes": ("x.xml", "<fcd-export>" + "".join(f'<n a{n}=""/>' for n in range(50_000)), "more than 1000 names"),
    "no column": ("x.csv", "time,id,x\n0,a,1\n", "has 0 columns y or vehicle_y"),
    "two columns": ("x.csv", "time,id,x,x,y\n0,a,1,1,1\n", "has 2 columns x or vehicle_x"),
    "CSV NaN": ("x.csv", "time,id,x,y\n0,a,1,2\n1,a,nan,2\n", "row 2: is not finite or not whole: time 1, id 'a', x nan, y 2"),
    "CSV infinite": ("x.csv", "time,id,x,y\ninf,a,1,2\n", "row 1: is not finite"),
    "half a row": ("x.csv", "time,id,x,y\n0,a,,2\n", "row 1: is not finite or not whole"),
    "nameless": ("x.csv", "time,id,x,y\n0,,1,2\n", "row 1: is not finite or not whole"),
    "no time, CSV": ("x.csv", "time,id,x,y\n0,a,1,2\n,a,1,2\n", "row 2: has no time"),
    "short row": ("x.csv", "time,id,x,y\n0,a,1,2\n1,a\n", "Expected 4 columns, got 2"),
    "words": ("x.csv", "time,id,x,y\n0,a,here,2\n", "invalid value 'here'"),
    "CSV falling": ("x.csv", "time,id,x,y\n3,a,1,2\n1,a,1,2\n", "row 2: time 1 comes after 3"),
    "CSV back again": ("x.csv", "time,id,x,y\n1,a,1,2\n2,a,1,2\n1,b,1,2\n", "row 3: time 1 comes after 2"),
    "CSV twice": ("x.csv", "time,id,x,y\n1,a,1,2\n1,b,1,2\n1,a,1,2\n", "row 3: 'a' is there twice at time 1"),
    "CSV heading": ("x.csv", "time,id,x,y\n", "holds no vehicle at any time"),
    "CSV empty": ("x.csv", "", "has 0 columns time or timestep_time"),
    "CSV cut gzip": ("x.csv.gz", gzip.compress(TAGGED.encode())[:-12], "x.csv.gz: cannot be read"),
    "no Parquet": ("x.parquet", b"PAR1" * 5, "x.parquet: cannot be read"),
    "Parquet words": ("x.parquet", parquet_bytes(vehicle_x=list("abcdefg")), "column x holds string, not numbers"),
    "Parquet ids": ("x.parquet", parquet_bytes(vehicle_id=[0.5] * 7), "column id holds double, not names"),
    "Parquet NaN": ("x.parquet", parquet_bytes(vehicle_y=[None, NAN, 1, 1, 1, 1, None]), "row 2: is not finite"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_and_hostile_files(tmp_path, case):
    name, data, expected = BROKEN[case]
    path = written(tmp_path, name, data)
    with pytest.raises(TrimcacheError) as raised:
        FloatingCarData.from_file(path)
    line = str(raised.value)
    assert str(path) in line
    assert "\n" not in line
    assert expected in line
    assert len(line) < 500 + len(str(path))


@pytest.mark.parametrize("name", ["missing.xml", "missing.csv", "missing.csv.gz", "missing.parquet"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(NetworkError, match=f"{name}: does not exist"):
        FloatingCarData.from_file(tmp_path / name)


def test_another_kind_of_file(tmp_path):
    with pytest.raises(UsageError, match="is no kind of floating-car data"):
        FloatingCarData.from_file(written(tmp_path, "fcd.txt", XML))
    folder = tmp_path / "folder.xml"
    folder.mkdir()
    with pytest.raises(NetworkError, match="cannot be read"):
        FloatingCarData.from_file(folder)


@pytest.mark.parametrize("kind", ["one tag", "one comment", "blanks", "vehicles without end"])
def test_bombs_take_no_memory(tmp_path, kind):
    path = tmp_path / "bomb.xml.gz"
    start, again = {
        "one tag": ('<fcd-export><timestep time="0"><vehicle id="', "a"),
        "one comment": ("<fcd-export><!-- ", "a"),
        "blanks": ("<fcd-export>", " "),
        "vehicles without end": ("<fcd-export>", "<vehicle/>"),
    }[kind]
    block = again.encode() * (2**20 // len(again))
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start.encode())
        for _ in range(2 if again.startswith("<") else 40):
            file.write(block)
    tracemalloc.start()
    with pytest.raises(NetworkError):
        FloatingCarData.from_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
