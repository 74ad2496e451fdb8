import copy
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.data import samples
from tests.unit.data.samples import CSV, TIME, table_folder

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.tables import SystemTables, UnknownEnvironmentError, read_tables
from perfport.errors import TableError


def card(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(samples.CARD) | changes


def option(name: str, type_: str, values: Any = None) -> dict[str, Any]:
    return {"name": name, "type": type_} | ({} if values is None else {"values": values})


def environment(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "file": f"{name}.csv"} | more


def test_a_folder_becomes_datasets(tmp_path: Path) -> None:
    tables = read_tables(table_folder(tmp_path))
    assert tables.name == "sample"
    assert list(tables.environments) == ["board"]
    dataset = tables.environments["board"]
    assert dataset.configurations["threads"].tolist() == [1, 2, 4]
    assert dataset.configurations["mode"].tolist() == ["none", "NA", "fast"]
    assert dataset.responses[TIME].tolist() == [0.9, 0.5, 0.4]
    assert dataset.properties[TIME].unit == "s"
    assert dataset.environment.to_dict() == {
        "name": "board",
        "hardware": {"name": "4-core board"},
        "network": {},
        "workload": {},
        "software": {"system": "sample"},
    }
    assert dataset.space is tables.space


def test_a_file_is_read_when_its_environment_is_asked_for_and_once(tmp_path: Path) -> None:
    folder = table_folder(tmp_path, card=card(environments=[environment("board"), environment("other")]))
    tables = read_tables(folder)
    assert "other" in tables.environments
    assert len(tables.environments) == 2
    assert tables.environments["board"] is tables.environments["board"]
    with pytest.raises(TableError, match=r"other\.csv: no such file"):
        tables.environments["other"]


def test_unknown_environments_are_missing_keys_with_a_hint(tmp_path: Path) -> None:
    tables = read_tables(table_folder(tmp_path))
    assert tables.environments.get("nowhere") is None
    with pytest.raises(UnknownEnvironmentError, match="no environment 'boart'; it has board; did you mean 'board'"):
        tables.environments["boart"]


def test_a_column_that_is_neither_option_nor_objective_is_a_note(tmp_path: Path) -> None:
    text = f"id,threads,mode,{TIME},remark\n7,1,none,0.9,hot\n9,2,NA,0.5,\n"
    folder = table_folder(tmp_path, card=card(index_column="id"), files={"board.csv": text})
    tables = read_tables(folder)
    notes = tables.environments["board"].notes
    assert tables.index_column == "id"
    assert notes is not None
    assert notes["id"].tolist() == [7, 9]
    assert notes["remark"].tolist() == ["hot", ""]


def test_levels_that_a_card_does_not_list_are_those_of_all_files(tmp_path: Path) -> None:
    options = [
        option("model", "categorical", "see CSV"),
        option("clock", "ordinal", {"min": 1, "max": 9}),
        option("tokens", "int", {"min": 1, "max": 100}),
        option("on", "bool"),
        option("share", "float"),
    ]
    header = f"model,clock,tokens,on,share,{TIME}\n"
    files = {"a.csv": header + "x,3,5,0,0.5,1\n", "b.csv": header + "none,9,100,1,0.25,1\nx,1.5,7,1,1,2\n"}
    environments = [environment("a"), environment("b")]
    tables = read_tables(table_folder(tmp_path, card=card(options=options, environments=environments), files=files))
    space = tables.space
    assert space.option("model").levels == ("none", "x")
    assert space.option("clock").levels == (1.5, 3.0, 9.0)
    assert space.option("tokens").bounds == (1, 100)
    assert space.option("on").levels == (False, True)
    assert space.option("share").levels == (0.25, 0.5, 1.0)
    assert tables.environments["b"].configurations["on"].tolist() == [True, True]


def test_a_constant_boolean_has_one_level(tmp_path: Path) -> None:
    options = [option("core0", "bool", [1]), option("threads", "ordinal", [1, 2])]
    folder = table_folder(tmp_path, card=card(options=options), files={"board.csv": f"core0,threads,{TIME}\n1,2,0.1\n"})
    assert read_tables(folder).space.size() == 2


def test_zero_responses_are_kept(tmp_path: Path) -> None:
    files = {"board.csv": CSV.replace("0.5", "0")}
    assert read_tables(table_folder(tmp_path, files=files)).environments["board"].responses[TIME][1] == 0.0


def test_compressed_files_are_read(tmp_path: Path) -> None:
    changed = card(environments=[{"name": "board", "file": "board.csv.gz", "rows": 3}])
    folder = table_folder(tmp_path, card=changed, files={"board.csv.gz": gzip.compress(CSV.encode())})
    assert len(read_tables(folder).environments["board"]) == 3


def test_outcomes_reasons_and_costs_are_read_from_the_columns_the_card_names(tmp_path: Path) -> None:
    rows = "1,none,0.9,ok,,12.5\n2,NA,,failed,no such kernel,3\n4,fast,,timed_out,60 s,\n"
    text = f"threads,mode,{TIME},how,why,took\n{rows}"
    changed = card(outcome_column="how", reason_column="why", cost_column="took")
    dataset = read_tables(table_folder(tmp_path, card=changed, files={"board.csv": text})).environments["board"]
    assert dataset.status.tolist() == ["ok", "failed", "timed_out"]
    assert np.isnan(dataset.responses[TIME]).tolist() == [False, True, True]
    assert dataset.cost_s[:2].tolist() == [12.5, 3.0]
    assert np.isnan(dataset.cost_s[2])
    assert dataset.notes is not None
    assert dataset.notes["reason"].tolist() == ["", "no such kernel", "60 s"]


def test_an_absent_value_is_legal_where_the_card_says_so(tmp_path: Path) -> None:
    objectives = [{"name": TIME}, {"name": "energy_j", "may_be_absent": True}]
    text = f"threads,mode,{TIME},energy_j\n1,none,0.9,\n2,NA,0.5,3\n"
    dataset = read_tables(
        table_folder(tmp_path, card=card(objectives=objectives), files={"board.csv": text})
    ).environments["board"]
    assert np.isnan(dataset.responses["energy_j"]).tolist() == [True, False]


def test_repetitions_are_folded_where_the_card_names_their_column(tmp_path: Path) -> None:
    text = f"threads,mode,run,{TIME}\n1,none,0,0.9\n1,none,1,0.7\n1,none,2,0.8\n2,NA,0,0.5\n"
    folder = table_folder(tmp_path, card=card(repetition_column="run"), files={"board.csv": text})
    dataset = read_tables(folder).environments["board"]
    assert dataset.responses[TIME].tolist() == [0.8, 0.5]
    assert 0 < dataset.log_se[TIME][0] < 0.2
    assert np.isnan(dataset.log_se[TIME][1])


def test_identical_rows_count_once(tmp_path: Path) -> None:
    folder = table_folder(tmp_path, files={"board.csv": CSV + "1,none,0.9\n"})
    assert len(read_tables(folder).environments["board"]) == 3


def test_levels_closer_than_rounding_are_rows_of_their_own(tmp_path: Path) -> None:
    options = [option("limit", "ordinal", [4294967295, 4294967296])]
    text = f"limit,{TIME}\n4294967295,0.5\n4294967296,0.3\n"
    folder = table_folder(tmp_path, card=card(options=options), files={"board.csv": text})
    dataset = read_tables(folder).environments["board"]
    assert dataset.configurations["limit"].tolist() == [4294967295, 4294967296]


def test_inactive_options_are_empty_cells(tmp_path: Path) -> None:
    options = [option("mode", "categorical", ["serial", "parallel"]), option("inter", "ordinal", [1, 2])]
    conditions = [{"option": "inter", "when": "mode == 'parallel'"}]
    text = f"mode,inter,{TIME}\nserial,,0.5\nparallel,2,0.3\n"
    folder = table_folder(tmp_path, card=card(options=options, conditions=conditions), files={"board.csv": text})
    tables = read_tables(folder)
    assert tables.environments["board"].configurations["inter"].isna().tolist() == [True, False]
    assert tables.space.size() == 3


def test_the_same_device_under_two_systems_is_two_environments(tmp_path: Path) -> None:
    one = read_tables(table_folder(tmp_path / "a")).environments["board"].environment
    two = read_tables(table_folder(tmp_path / "b", card=card(system="other"))).environments["board"].environment
    assert one.fingerprint != two.fingerprint


def test_environments_without_facts_are_told_apart_by_name(tmp_path: Path) -> None:
    folder = table_folder(
        tmp_path, card=card(environments=[environment("a"), environment("b")]), files={"a.csv": CSV, "b.csv": CSV}
    )
    tables = read_tables(folder)
    assert tables.environments["a"].environment.fingerprint != tables.environments["b"].environment.fingerprint


RANGE = [option("threads", "ordinal", {"min": 1, "max": 2}), option("mode", "categorical", ["none", "NA", "fast"])]
SPARE = [*samples.CARD["options"], option("spare", "ordinal")]
UP, ROOT = ({"environments": [{"name": "b", "file": file}]} for file in ("../b.csv", "/etc/passwd"))
HOW = f"how,threads,mode,{TIME}\nfine,1,none,0.9\n"
REASONS = f"threads,mode,{TIME},why,reason\n1,none,0.9,a,b\n"
HOT = environment("board", hardware={"clock": float("inf")})
TWINS = [environment("board", hardware="x"), environment("b", hardware="x")]
WRONG = [
    ("no objective column", {}, CSV.replace(TIME, "time"), r"board\.csv: no column 'inference_time_s' \(an objective"),
    ("no option column", {}, CSV.replace("mode", "model"), r"board\.csv: no column 'mode' \(an option of the card\)"),
    ("no index column", {"index_column": "id"}, CSV, r"no column 'id' \(the index column of the card\)"),
    ("no outcome column", {"outcome_column": "how"}, CSV, r"no column 'how' \(how the row ended\)"),
    ("no cost column", {"cost_column": "took"}, CSV, r"no column 'took' \(cost in seconds\)"),
    ("unknown level", {}, CSV.replace("NA", "na"), r"row 2 \(line 3\): option 'mode': 'na' is not a level; its lev"),
    ("unknown number", {}, CSV.replace("\n2,", "\n3,"), r"row 2 \(line 3\): option 'threads': '3' is not a level"),
    ("empty level", {}, CSV.replace(",NA,", ",,"), r"row 2 \(line 3\): option 'mode': no level"),
    ("empty response", {}, CSV.replace("0.5", ""), r"row 2 \(line 3\): inference_time_s is empty"),
    ("text response", {}, CSV.replace("0.5", "fast"), r"row 2 \(line 3\): inference_time_s is the text 'fast'"),
    ("NaN response", {}, CSV.replace("0.5", "nan"), r"row 2 \(line 3\): inference_time_s is nan; it must be finite"),
    ("infinite response", {}, CSV.replace("0.5", "1e999"), "inference_time_s is 1e999; it must be finite"),
    ("negative response", {}, CSV.replace("0.5", "-0.5"), "inference_time_s is -0.5; it must be finite and not n"),
    ("other duplicate", {}, CSV + "1,none,0.8\n", r"row 4 \(line 5\): the configuration of row 1 again, with an"),
    ("cut-off file", {"environments": [environment("board", rows=4)]}, CSV, "3 rows, the card says 4; the file is cut"),
    ("ragged row", {}, CSV + "1,none\n", r"row 4 \(line 5\): 2 cells, the header has 3"),
    ("repeated header", {}, CSV.replace("mode", "threads"), "the header names column 'threads' twice"),
    ("empty file", {}, "", "no header line"),
    (
        "wrong outcome",
        {"outcome_column": "how"},
        f"how,threads,mode,{TIME}\nfine,1,none,0.9\n",
        "how 'fine' is not one of ok",
    ),
    (
        "path outside",
        UP,
        CSV,
        "file '../b.csv' is outside the folder",
    ),
    (
        "absolute path",
        ROOT,
        CSV,
        "file '/etc/passwd' is outside the folder",
    ),
    ("level out of range", {"options": RANGE}, CSV, "option 'threads': a file holds 4, the card says 1 to 2"),
    ("text in an ordinal", {"options": [option("mode", "ordinal")]}, CSV, "option 'mode' is ordinal, but a file hold"),
    ("option of no file", {"options": SPARE}, CSV, r"no column 'spare' \(an option of the card\)"),
    (
        "infinite fact",
        {"environments": [environment("board", hardware={"clock": float("inf")})]},
        CSV,
        "hardware.clock is inf",
    ),
    (
        "two reasons",
        {"reason_column": "why"},
        REASONS,
        "column 'reason' is a note, but the card gives the re",
    ),
    ("forbidden row", {"forbidden": ["threads == 1"]}, CSV, r"row 1 \(line 2\): is ok, but the card does not allow it"),
    ("wrong constraint", {"constraints": ["thread < 3"]}, CSV, r"datacard\.yaml: .*thread"),
    ("same facts", {"environments": TWINS}, CSV, "environments 'board' and 'b' state the same"),
]


@pytest.mark.parametrize(("changes", "text", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_a_card_does_not_promise_is_refused_by_file_and_row(
    tmp_path: Path, changes: dict[str, Any], text: str, message: str
) -> None:
    folder = table_folder(tmp_path, card=card(**changes), files={"board.csv": text})
    with pytest.raises(TableError, match=message) as caught:
        read_tables(folder).environments["board"]
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = table_folder(tmp_path / "tables", files={})
    outside = tmp_path / "board.csv"
    outside.write_text(CSV, encoding="utf-8")
    (folder / "board.csv").symlink_to(outside)
    with pytest.raises(TableError, match="is outside the folder"):
        read_tables(folder)


def test_datasets_of_one_system_are_brought_together() -> None:
    other = samples.dataset(environment=Environment("other", hardware={"cores": 8}))
    tables = SystemTables.of("sample", [samples.dataset(), other], title="two boards")
    assert list(tables.environments) == ["board", "other"]
    assert repr(tables) == "<SystemTables 'sample': 4 options, 2 environments>"


def test_datasets_that_do_not_belong_together_are_refused() -> None:
    dataset = samples.dataset()
    with pytest.raises(TableError, match="at least one dataset"):
        SystemTables.of("sample", [])
    with pytest.raises(TableError, match="two datasets are of an environment called 'board'"):
        SystemTables.of("sample", [dataset, samples.dataset(seed=1)])
    frame = dataset.configurations.assign(latency_ms=1.0)
    other = Dataset.from_frame(frame, properties=["latency_ms"], space=samples.space(), environment="other")
    with pytest.raises(TableError, match=r"different properties: \['inference_time_s in s'\] and \['latency_m"):
        SystemTables.of("sample", [dataset, other])
    smaller = Dataset.from_frame(frame, properties=["latency_ms"], options=["threads"], environment="other")
    with pytest.raises(TableError, match="different spaces"):
        SystemTables.of("sample", [dataset, smaller])
