"""Rate tables: what is read, and every way in which a file can be wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimcache.errors import NetworkError
from trimcache.network.channels import read_rate_table

SERVERS, USERS = ("roof", "mast"), ("007", "hall", "yard")
GOOD = """server,user,rate_bps,latency_s
mast,yard,2.5e8,0.004
roof,yard,1e8,0
roof,007, 3000000 ,0.01
mast,hall,0,0
"""


def write(tmp_path, text, name="rates.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_csv_in_the_order_of_users(tmp_path):
    table = read_rate_table(write(tmp_path, GOOD), SERVERS, USERS)
    assert table.server.tolist() == [0, 0, 1]
    assert table.user.tolist() == [0, 2, 2]
    assert table.rate_bps.tolist() == [3e6, 1e8, 2.5e8]  # no rate is no link: mast, hall
    assert table.latency_s.tolist() == [0.01, 0, 0.004]
    assert [array.dtype.str for array in table[:4]] == ["<i8", "<i8", "<f8", "<f8"]
    assert not any(array.flags.writeable for array in table[:4])
    assert (table.server_names, table.user_names) == (SERVERS, USERS)


def test_parquet_is_the_same_whatever_its_types(tmp_path):
    expected = read_rate_table(write(tmp_path, GOOD), SERVERS, USERS)
    columns = {
        "server": pa.array(["mast", "roof", "roof"]).dictionary_encode(),
        "user": pa.array(["yard", "yard", "007"], pa.large_string()),
        "rate_bps": pa.array([250_000_000, 100_000_000, 3_000_000], pa.int32()),
        "latency_s": pa.array([0.004, 0, 0.01]),
    }
    pq.write_table(pa.table(columns), tmp_path / "rates.parquet", row_group_size=2)
    found = read_rate_table(tmp_path / "rates.parquet", SERVERS, USERS)
    for a, b in zip(found, expected, strict=True):
        assert np.array_equal(a, b)
    numbered = pa.table({"server": [0, 1], "user": [7, 7], "rate_bps": [1.0, 2.0]})
    pq.write_table(numbered, tmp_path / "numbered.pq")
    assert read_rate_table(tmp_path / "numbered.pq", ["0", "1"], ["7"]).rate_bps.tolist() == [1, 2]


def test_names_of_the_table_itself(tmp_path):
    table = read_rate_table(write(tmp_path, GOOD))
    assert table.server_names == ("mast", "roof")
    assert table.user_names == ("yard", "007", "hall")
    assert table.rate_bps.tolist() == [2.5e8, 1e8, 3e6]


def test_optional_and_further_columns_and_other_names(tmp_path):
    table = read_rate_table(write(tmp_path, "rsrp_dbm,user,rate_bps,server\n-80,hall,5,roof\nx,yard,7,roof\n"), SERVERS, USERS)
    assert table.latency_s.tolist() == [0, 0]
    assert table.rate_bps.tolist() == [5, 7]
    backhaul = write(tmp_path, "from,to,rate_bps\nroof,mast,1e10\n")
    assert read_rate_table(backhaul, SERVERS, SERVERS, columns=("from", "to"))[:2] == (0, 1)


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(tmp_path):
    table = read_rate_table(write(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()), SERVERS, USERS)
    assert table.rate_bps.size == 3


HEADER = "server,user,rate_bps,latency_s\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "cannot be read: Empty CSV file; give Parquet, or CSV with a heading"),
        (HEADER, "holds no rows; give rows of server, user, rate_bps"),
        ("server,rate_bps\nroof,1\n", "has no column 'user', only 'server', 'rate_bps'; add it"),
        ("server;user;rate_bps\nroof;hall;1\n", "has no column 'server', only 'server;user;rate_bps'; add it"),
        ("server,user,user,rate_bps\nroof,hall,hall,1\n", "has 2 columns called 'user'; keep one"),
        ("server,user,rate_mbps\nroof,hall,1\n", "has an unknown column 'rate_mbps'; did you mean rate_bps?"),
        ("server,user,rate_bps,latency_ms\nroof,hall,1,1\n", "has an unknown column 'latency_ms'; did you mean latency_s?"),
        (HEADER + "roof,hall,1,0\nroof,yrad,1,0\n", "row 2 has an unknown user 'yrad'; did you mean yard?"),
        (HEADER + "rof,hall,1,0\n", "row 1 has an unknown server 'rof'; did you mean roof?"),
        (HEADER + "7,hall,1,0\n", "row 1 has an unknown server '7'; there are roof, mast"),
        (HEADER + "roof,7,1,0\n", "row 1 has an unknown user '7'; did you mean 007?"),
        (HEADER + "roof,,1,0\n", "row 1 has no user; fill it in or leave the row out"),
        (HEADER + "roof,hall,1,0\nroof,yard, ,0\n", "row 2 has no rate_bps; fill it in or leave the row out"),
        (HEADER + "roof,hall,1,\n", "row 1 has no latency_s; fill it in or leave the row out"),
        (HEADER + "roof,hall,1,0\nmast,hall,-5,0\n", "row 2 has the rate_bps -5; give a finite number >= 0"),
        (HEADER + "roof,hall,nan,0\n", "row 1 has the rate_bps nan; give a finite number >= 0"),
        (HEADER + "roof,hall,inf,0\n", "row 1 has the rate_bps inf; give a finite number >= 0"),
        (HEADER + "roof,hall,1,-1\n", "row 1 has the latency_s -1; give a finite number >= 0"),
        (HEADER + "roof,hall,1,0\nmast,hall,10 Mbit/s,0\n", "row 2 has the rate_bps '10 Mbit/s'; give a number"),
        (
            HEADER + "roof,hall,1,0\nroof,yard,1,0\nroof,hall,0,0\nroof,yard,1,0\n",
            "row 3 gives 'roof' and 'hall' again, after row 1; keep one row for each pair",
        ),
        (
            HEADER + "roof,hall,1,0\nroof,yard\n",
            "cannot be read: CSV parse error: row 2: Expected 4 columns, got 2: roof,yard; give Parquet, or CSV with a heading",
        ),
    ],
)
def test_one_clear_line(tmp_path, text, line):
    path = write(tmp_path, text)
    with pytest.raises(NetworkError) as error:
        read_rate_table(path, SERVERS, USERS)
    assert str(error.value) == f"{path}: {line}"


def test_text_that_is_not_utf_8(tmp_path):
    path = write(tmp_path, HEADER.encode() + b"roof,hall,1,0\n\xff,hall,1,0\n")
    with pytest.raises(NetworkError) as error:
        read_rate_table(path, SERVERS, USERS)
    assert str(error.value).startswith(
        f"{path}: cannot be read: In CSV column #0: row 2: CSV conversion error to string: invalid UTF8 data;"
    )


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"server": ["roof", None], "rate_bps": [1, 1]}, "row 2 has no server"),
        ({"server": ["roof", "mast"], "rate_bps": [1.0, None]}, "row 2 has no rate_bps"),
        ({"server": ["roof", "mast"], "rate_bps": [b"1", b"2"]}, "column 'rate_bps' holds binary; give numbers"),
        ({"server": ["roof", "mast"], "rate_bps": [True, False]}, "column 'rate_bps' holds bool; give numbers"),
        ({"server": ["roof", "mast"], "rate_bps": ["1", "x"]}, "row 2 has the rate_bps 'x'; give a number"),
        ({"server": [b"roof", b"\xff"], "rate_bps": [1, 2]}, "column 'server' holds binary; give text"),
        ({"server": [[1], [2]], "rate_bps": [1, 2]}, "column 'server' holds list"),
        ({"server": [], "rate_bps": []}, "holds no rows"),
    ],
)
def test_one_clear_line_for_parquet(tmp_path, columns, line):
    path = tmp_path / "rates.parquet"
    pq.write_table(pa.table({**columns, "user": ["hall"] * len(columns["server"])}), path)
    with pytest.raises(NetworkError) as error:
        read_rate_table(path, SERVERS, USERS)
    assert str(error.value).startswith(f"{path}: {line}")


def test_what_is_no_table_at_all(tmp_path):
    for path, problem in (
        (tmp_path / "none.csv", "does not exist"),
        (tmp_path, "cannot be read"),
        (write(tmp_path, b"not parquet", "rates.parquet"), "cannot be read"),
        (tmp_path / "none.parquet", "does not exist"),
    ):
        with pytest.raises(NetworkError) as error:
            read_rate_table(path)
        assert (error.value.subject, error.value.problem[: len(problem)]) == (str(path), problem)
