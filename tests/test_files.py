"""Promises of files as a source: all files in one order, page by page, and what can't be read is one bad record."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import anything, records

from airflow_provider_asapp.errors import AsappConfigurationError
from airflow_provider_asapp.files import File, listed, read
from airflow_provider_asapp.pages import UNREADABLE, Unreadable, pages_of
from airflow_provider_asapp.rejects import Rejection, RejectsFolder, plain
from airflow_provider_asapp.schemas import ENTITIES, Entity
from airflow_provider_asapp.validation import Item, Validator

LOCAL = fsspec.filesystem("file")
entities = st.sampled_from(list(ENTITIES.values()))


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """Give an empty file system that is none of the machine's."""
    fs = MemoryFileSystem()
    yield fs
    fs.rm("/", recursive=True)


def write(folder: Path, **files: str | bytes) -> Path:
    """Write files, whose names have a dot for each double underscore, into a folder."""
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def names(folder: Path, pattern: str = "", **options: Any) -> list[str]:
    """Return which files below a folder would be read, by their names in it."""
    path = f"{folder}/{pattern}" if pattern else str(folder)
    return [str(Path(file.name).relative_to(folder)) for file in listed(LOCAL, path, **options)]


def rows(content: str | bytes, name: str = "x.jsonl", **options: Any) -> list[Any]:
    """Return what a file of this content yields: records as dicts, and what can't be read."""
    fs = MemoryFileSystem()
    fs.pipe(f"/{name}", content.encode() if isinstance(content, str) else content)
    found: list[Any] = []
    for page in read(fs, listed(fs, f"/{name}"), **options):
        found += [
            row[0] if page.columns is UNREADABLE else dict(zip(page.columns, row, strict=True)) for row in page.rows
        ]
    return found


def bad(row: Any) -> tuple[str, Any]:
    """Return reason and raw text of what can't be read."""
    assert isinstance(row, Unreadable)
    return row.reason, row.raw


# --- which files


def test_a_folder_is_all_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Below it too, as rejects lie; what is neither JSON lines nor CSV is passed over."""
    write(tmp_path, b__csv="", a__jsonl="", README__md="", c__NDJSON="", part__json="", z__csv__gz=b"", y__gz=b"")
    write(tmp_path / "dag" / "run+1:2", x__jsonl="")
    assert names(tmp_path) == ["a.jsonl", "b.csv", "c.NDJSON", "dag/run+1:2/x.jsonl", "part.json", "z.csv.gz"]
    assert [file.format for file in listed(LOCAL, str(tmp_path))] == ["jsonl", "csv", "jsonl", "jsonl", "jsonl", "csv"]


def test_rejects_are_read_in_the_order_of_positions(tmp_path: Path) -> None:
    """Written in whatever order, their positions rise."""
    rejects = RejectsFolder(tmp_path)
    for first in (99_001, 1, 2001):
        rejects.write(first, [Rejection(first, None, "invalid", {}, {"position": first})])
    found = [row for page in read(LOCAL, listed(LOCAL, str(tmp_path))) for row in page.rows]
    assert found == [(1,), (2001,), (99_001,)]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jsonl", ["a.jsonl"]),
        ("2026-*/*.csv", ["2026-03/x.csv", "2026-04/x.csv"]),
        ("2026-0[4-9]", ["2026-04/x.csv"]),
        ("**/x.*", ["2026-03/x.csv", "2026-04/x.csv"]),
        ("none-*", []),
        ("none/*.csv", []),
    ],
)
def test_a_glob_is_what_it_matches(tmp_path: Path, pattern: str, found: list[str]) -> None:
    """Files, and all files of folders; no match is an empty source."""
    write(tmp_path, a__jsonl="")
    write(tmp_path / "2026-03", x__csv="")
    write(tmp_path / "2026-04", x__csv="", notes__txt="")
    assert names(tmp_path, pattern) == found


def test_what_exists_is_no_glob(tmp_path: Path) -> None:
    """A name with brackets or stars is taken as it stands if there is such a file."""
    write(tmp_path, **{"a[1]__csv": "", "a1__csv": ""})
    assert names(tmp_path, "a[1].csv") == ["a[1].csv"]


def test_the_files_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    """Checksums, markers and half-written files begin with a dot or an underscore; named, they are read."""
    write(tmp_path, **{"_SUCCESS": "", ".part__csv__crc": "", ".part__csv": "", "_tmp__csv": "", "part__csv": ""})
    assert names(tmp_path) == names(tmp_path, "*") == ["part.csv"]
    assert names(tmp_path, "_tmp.csv") == ["_tmp.csv"]
    (tmp_path / "part.csv").unlink()
    assert names(tmp_path) == []


def test_an_empty_folder_is_empty_and_a_missing_path_an_error(tmp_path: Path) -> None:
    """An empty day is no mistake, a misspelt path is."""
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError, match=r"There is nothing at .*/yesterday"):
        names(tmp_path, "yesterday")


@pytest.mark.parametrize("pattern", ["", "*", "part-0000", "part-0001.txt"])
def test_endings_that_say_nothing_are_an_error(tmp_path: Path, pattern: str) -> None:
    """Nothing is silently left out where all is of unknown form; `file_format` says what it is."""
    write(tmp_path, **{"part-0000": "", "part-0001.txt": ""})
    with pytest.raises(AsappConfigurationError, match="say file_format"):
        names(tmp_path, pattern)
    assert len(names(tmp_path, pattern, file_format="csv")) in (1, 2)


def test_other_storages_are_the_same(memory: MemoryFileSystem) -> None:
    """What is said of a folder holds wherever fsspec has one."""
    memory.pipe({"/bucket/b.jsonl": b"{}", "/bucket/dag/a.csv": b"a\n1\n", "/bucket/x.txt": b"", "/other/a.csv": b""})
    files = [File("/bucket/b.jsonl", "jsonl"), File("/bucket/dag/a.csv", "csv")]
    assert listed(memory, "/bucket") == files
    assert listed(memory, "/bucket/**/*.csv") == files[1:]
    assert [page.columns for page in read(memory, files)] == [(), ("a",), ("a",)]
    with pytest.raises(FileNotFoundError):
        listed(memory, "/nowhere")


# --- JSON lines


def test_each_line_is_a_record() -> None:
    """Whatever the line ends, with a byte order mark or not; blank lines are nothing."""
    content = '\ufeff{"a": 1}\r\n\n  \t\n{"b": [null, "ä\u2028"], "c": {"d": 1.5}}\r{"a": 12345678901234567890}'
    assert rows(content) == [{"a": 1}, {"b": [None, "ä\u2028"], "c": {"d": 1.5}}, {"a": 12345678901234567890}]
    assert rows("") == rows("\n\n") == rows("\ufeff") == []


@pytest.mark.parametrize(
    ("line", "reason", "raw"),
    [
        ('{"a": ', "not JSON", None),
        ("[{", "not JSON", None),
        ('{"a": 1} {"a": 2}', "not JSON", None),
        ("a,b", "not JSON", None),
        ('{"a": 1, "a": 1}', "key twice", None),
        ('{"a": {"b": 1, "b": 2}}', "key twice", None),
        ("[" * 100_000, "nested too deeply", None),
        ('{"a": ' + "1" * 5000 + "}", "too many digits", None),
        ("5", "not a JSON object", 5),
        ("null", "not a JSON object", None),
        ('[{"a": 1}]', "not a JSON object", [{"a": 1}]),
        (b'{"a": "K\xf6ln"}', "not UTF-8", '{"a": "K\ufffdln"}'),
        (b'{"a": "\xed\xb2\x80"}', "not UTF-8", '{"a": "\ufffd\ufffd\ufffd"}'),
        ("\x00", "not JSON", None),
    ],
)
def test_a_line_that_is_no_record_is_one_bad_record(line: str | bytes, reason: str, raw: Any) -> None:
    """In its place, with a reason that holds no value and with what stands there; the others are not touched."""
    text = line if isinstance(line, bytes) else line.encode()
    before, found, after = rows(b'{"n": 1}\r\n' + text + b'\r\n{"n": 2}')
    assert (before, after) == ({"n": 1}, {"n": 2})
    assert reason in bad(found)[0]
    assert bad(found)[1] == (text.decode() if raw is None and line != "null" else raw)


def test_numbers_that_json_has_not() -> None:
    """NaN, as Python and pandas write it, is nothing; an infinity is refused by the field's own rule."""
    nothing, infinite = rows(
        '{"externalAgentId": "a", "attributes": {"x": NaN}}\n{"externalAgentId": "b", "attributes": {"x": Infinity}}'
    )
    found = [outcome for page in pages_of([nothing, infinite]) for outcome in Validator("agent").check(page, 1)]
    assert isinstance(found[0], Item)
    assert b'"x"' not in found[0].body
    assert isinstance(found[1], Rejection)


def test_a_very_long_line_is_a_line() -> None:
    """A megabyte is no more than one record."""
    assert rows(json.dumps({"a": "x" * 1_000_000}) + '\n{"a": "y"}') == [{"a": "x" * 1_000_000}, {"a": "y"}]


def test_a_line_of_the_rejects_is_the_record_in_it() -> None:
    """Only with exactly their keys; what is in it must be an object as on any other line."""
    reject = {"position": 7, "key": None, "stage": "invalid", "errors": {}, "record": {"a": 1}}
    other = {**reject, "more": 1}
    found = rows("\n".join(map(json.dumps, [reject, other, {**reject, "record": "a,b"}])))
    assert found[:2] == [{"a": 1}, other]
    assert bad(found[2]) == ("the line is not a JSON object", "a,b")


def sent(entity: Entity, record: Any) -> bytes | None:
    """Return the wire JSON of a record, None if it is invalid."""
    (page,) = pages_of([record])
    (outcome,) = Validator(entity.name, unknown="raise").check(page, 1)
    return outcome.body if isinstance(outcome, Item) else None


@settings(max_examples=150)
@given(st.data(), entities)
def test_a_record_from_the_rejects_is_sent_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, entity: Entity
) -> None:
    """What ASAPP refused and the rejects kept has, read back, the same wire JSON."""
    record = data.draw(records(entity))
    folder = tmp_path_factory.mktemp("rejects")
    RejectsFolder(folder).write(1, [Rejection(1, None, "refused", {"asapp": ["no"]}, record)])
    (page,) = read(LOCAL, listed(LOCAL, str(folder)))
    body = sent(entity, record)
    assert body is not None
    assert sent(entity, dict(zip(page.columns, page.rows[0], strict=True))) == body


@settings(max_examples=150)
@given(anything())
def test_any_record_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, given: tuple[Entity, Any]
) -> None:
    """Whatever a record held, reading it gives what the rejects hold of it; rejected again, it stays the same."""
    written = json.loads(json.dumps(plain(given[1])))
    folder = tmp_path_factory.mktemp("rejects")
    RejectsFolder(folder).write(1, [Rejection(1, None, "invalid", {}, given[1])])
    (page,) = read(LOCAL, listed(LOCAL, str(folder)))
    if isinstance(written, dict):
        assert dict(zip(page.columns, page.rows[0], strict=True)) == written
    else:
        assert bad(page.rows[0][0]) == ("the line is not a JSON object", written)


# --- CSV


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_first_line_names_the_columns(end: str) -> None:
    """An empty cell is absent, quoted cells hold anything, blank lines are nothing, a byte order mark is fine."""
    lines = ["", "a,b,c", '1,"x ""y"", z",', "", '"2\nlines",,"ä"', "3,4,5"]
    assert rows("\ufeff" + end.join(lines), "x.csv") == [
        {"a": "1", "b": 'x "y", z', "c": None},
        {"a": "2\nlines", "b": None, "c": "ä"},
        {"a": "3", "b": "4", "c": "5"},
    ]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter(delimiter: str) -> None:
    """Excel writes semicolons where commas stand in numbers."""
    content = delimiter.join("ab") + "\n" + delimiter.join(["1,5", "2"])
    assert rows(content, "x.csv", delimiter=delimiter) == [{"a": "1,5", "b": "2"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1", "fewer cells"),
        ("1,2,3", "more cells"),
        ('1,"2"3', "a quote has no other"),
        (b"1,K\xf6ln", "not UTF-8"),
        ("1," + "x" * 140_000, "too long"),
    ],
)
def test_a_row_that_does_not_fit_is_one_bad_record(line: str | bytes, reason: str) -> None:
    """In its place, with its reason and its text."""
    text = line if isinstance(line, bytes) else line.encode()
    before, found, after = rows(b"a,b\n1,2\n" + text + b"\n3,4\n", "x.csv")
    assert (before, after) == ({"a": "1", "b": "2"}, {"a": "3", "b": "4"})
    assert reason in bad(found)[0]
    assert bad(found)[1] == text.decode(errors="replace")


@pytest.mark.parametrize("tail", ["", '9,"9"\n'])
def test_an_open_quote_swallows_no_other_row(tail: str) -> None:
    """Only the row with the quote is bad, however far the next quote is: no row is lost in another one's cell."""
    many = [f"{number},ok" for number in range(20_000)]
    found = rows("\n".join(["a,b", '1,"open', *many, '2,"open too', ""]) + tail, "x.csv")
    kinds = [type(row) for row in found]
    assert [place for place, kind in enumerate(kinds) if kind is Unreadable] == [0, 20_001]
    assert [row["a"] for row in found[1:20_001]] == [str(number) for number in range(20_000)]
    assert bad(found[0])[1] == '1,"open'


def test_many_open_quotes_are_many_bad_records() -> None:
    """Each is one, and no depth grows with their number."""
    found = rows("a\n" + '"x"y\n' * 20_000, "x.csv")
    assert len(found) == 20_000
    assert {type(row) for row in found} == {Unreadable}


def test_a_header_that_cannot_be_read() -> None:
    """Without columns no row of the file means anything: each is a bad record, the header too."""
    found = rows('a,"b"c\n1,2\n3,4\n', "x.csv")
    assert [bad(row)[1] for row in found] == ['a,"b"c', "1,2", "3,4"]
    assert "header" in bad(found[0])[0]


def test_columns_are_known_without_a_row(memory: MemoryFileSystem) -> None:
    """A header alone is an empty page, so that a wrong column shows on empty days too."""
    memory.pipe("/x.csv", b"a,b\n")
    assert [(page.columns, list(page.rows)) for page in read(memory, [File("/x.csv", "csv")])] == [(("a", "b"), [])]


cells = st.text(max_size=6) | st.text('",;\r\n ab', max_size=8)


@settings(max_examples=150)
@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), max_size=6), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
)
def test_what_python_writes_is_read(table: list[list[str]], quoting: Any) -> None:
    """Each cell comes back as it was, an empty one as nothing."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=quoting)
    writer.writerows([["a", "b", "c"], *table])
    assert rows(file.getvalue(), "x.csv") == [
        dict(zip("abc", [cell or None for cell in row], strict=True)) for row in table
    ]


# --- both


@settings(max_examples=300)
@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from([b'"', b",", b"\n", b"\r", b"a", b"{", b"}", b'{"a":1}', b"\xff", b"\xef\xbb\xbf", b"\0"])
    ).map(b"".join),
    st.sampled_from(["x.jsonl", "x.csv"]),
)
def test_any_bytes_are_records_or_bad_records(content: bytes, name: str) -> None:
    """No content is an error, each outcome has its place, and the entity's rules judge them all."""
    for row in rows(content, name):
        assert isinstance(row, dict | Unreadable)
        if isinstance(row, Unreadable):
            json.dumps(plain(row.raw)).encode()
            assert row.reason
    fs = MemoryFileSystem()
    for page in read(fs, listed(fs, f"/{name}")):
        assert len(list(Validator("agent", unknown="exclude").check(page, 1))) == len(page.rows)


@pytest.mark.parametrize(("name", "line"), [("x.jsonl", b'{"a": 1}\n'), ("x.csv", b"a\n")])
def test_pages_come_before_the_end_of_the_file(name: str, line: bytes) -> None:
    """However long a file, no more than a page and a buffer of it is read ahead, and closing ends the reading."""
    content = io.BytesIO(line * 100_000)
    fs: Any = SimpleNamespace(open=lambda *_: content)
    kind: Any = name.partition(".")[2]
    pages = read(fs, [File(name, kind)])
    first = next(page for page in pages if page.rows)
    assert len(first.rows) == 1000
    assert content.tell() < 1100 * len(line) + 2 * io.DEFAULT_BUFFER_SIZE
    pages.close()
    assert content.closed


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    """As warehouses unload it; a file that is cut or no gzip at all ends the task, since its rows are lost."""
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 5000)
    write(tmp_path, x__csv__gz=packed, y__jsonl__gz=gzip.compress(b'{"a": 1}'))
    assert [len(page.rows) for page in read(LOCAL, listed(LOCAL, str(tmp_path)))] == [0, *[1000] * 5, 1]
    for broken in (packed[: len(packed) // 2], b"a,b\n1,2\n", packed[:30] + b"\xff\xff" + packed[32:]):
        write(tmp_path, x__csv__gz=broken)
        with pytest.raises(OSError, match=r"x\.csv\.gz is not a whole gzip file"):
            list(read(LOCAL, listed(LOCAL, str(tmp_path))))
