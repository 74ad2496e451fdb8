import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.data import samples

from perfport.data.cells import level_parser, level_text, lossless_column, number, read_csv
from perfport.errors import TableError
from perfport.space.options import Level, Option


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1.0", 1), ("1e3", 1000), ("-0.5", -0.5), ("9007199254740993", 9007199254740993), ("", None),
     ("none", None), ("nan", None), ("inf", None), ("1_000", None), ("0x10", None)],
)  # fmt: skip
def test_a_text_is_a_finite_number_or_none(text: str, value: float | None) -> None:
    assert number(text) == value


@samples.relaxed
@given(samples.options(), st.data())
def test_every_level_reads_back_from_its_text(option: Option, data: st.DataObject) -> None:
    if option.levels is None:
        lower, upper = option.bounds
        level: Level = data.draw(st.floats(lower, upper))
    else:
        level = data.draw(st.sampled_from(option.levels))
    again = level_parser(option)(level_text(option, level))
    assert again == level
    assert again is not None
    assert option.contains(again)


def test_text_that_looks_like_nothing_is_a_level_if_the_option_says_so() -> None:
    option = Option(name="mode", type="categorical", values=("none", "NA", "nan", "1"))
    parse = level_parser(option)
    assert [parse(text) for text in ("none", "NA", "nan", "1")] == ["none", "NA", "nan", "1"]
    assert parse("") is None
    assert parse("None") is None


def test_booleans_read_as_tables_write_them() -> None:
    parse = level_parser(Option(name="on", type="boolean"))
    assert [parse(text) for text in ("1", "0", "true", "False")] == [True, False, True, False]
    assert parse("2") is None
    assert level_parser(Option(name="on", type="boolean", values=(True,)))("0") is None


def test_numbers_match_levels_by_value() -> None:
    parse = level_parser(Option(name="f", type="ordinal", values=(100, 2000)))
    assert parse("100.0") == 100
    assert parse("2e3") == 2000
    assert parse("150") is None


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["0", "12"], "i"),
        (["0.5", "12.0"], "f"),
        (["007", "1"], "O"),
        (["1.0e3"], "O"),
        (["none", "1"], "O"),
        (["1", ""], "O"),
        (["1", "nan"], "O"),
        (["inf"], "O"),
        (["99999999999999999999"], "O"),
        (["9" * 5000], "O"),
    ],
)
def test_notes_become_numbers_only_if_nothing_is_lost(texts: list[str], kind: str) -> None:
    column = lossless_column(texts)
    assert column.dtype.kind == kind
    assert [str(value) for value in column] == texts


def test_quotes_commas_line_breaks_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeff"a,b",c\r\n"x\ny",1\r\n\r\n"""q""",2\r\n'.encode())
    table = read_csv(path)
    assert table.columns == {"a,b": ("x\ny", '"q"'), "c": ("1", "2")}
    assert table.lines == (3, 5)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no header line"),
        (b"a,,c\n1,2,3\n", "column 2 of the header has no name"),
        (b"a,b,a\n1,2,3\n", "the header names column 'a' twice"),
        (b"a,b\n1,2\n1\n", r"row 2 \(line 3\): 1 cells, the header has 2"),
        (b"a,b\n1,2,3\n", r"row 1 \(line 2\): 3 cells, the header has 2"),
        (b"a,b\n1,\xff\n", "line 2: not UTF-8"),
        (b'a,b\n1,"2\n', "line 2: not CSV"),
        (b"a\n" + b"x" * 200_000 + b"\n", "line 2: not CSV: field larger than"),
    ],
)
def test_a_file_that_is_no_table_is_refused_by_line(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=rf"a\.csv: {text}") as caught:
        read_csv(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    for content in (b"a,b\n1,2\n", whole[: len(whole) // 2], whole[:20] + b"\0\0\0" + whole[23:]):
        path = tmp_path / "a.csv.gz"
        path.write_bytes(content)
        with pytest.raises(TableError, match="damaged gzip file"):
            read_csv(path)


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfport.data.cells._LARGEST_TABLE_BYTES", 2**20)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"0" * 2**22))
    with pytest.raises(TableError, match="larger than"):
        read_csv(path)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_csv(tmp_path / "a.csv")
    with pytest.raises(TableError, match="cannot be read"):
        read_csv(tmp_path)
