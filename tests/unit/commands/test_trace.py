"""Which jobs made a number, from what git keeps."""

import re
from pathlib import Path

import pytest

from twostage.__main__ import main
from twostage.commands.trace import trace
from twostage.errors import TwostageError
from twostage.runtime.artifacts import read_json, write_json

ROOT = Path(__file__).parents[3]
COMMITS = {"data": "a" * 40, "tune": "b" * 40, "prior": "c" * 40, "row": "d" * 40}


def record(name, commit, inputs, config=None, facts=None):
    return {
        "job": name, "scale": "smoke", "commit": commit, "uncommitted_changes": False, "config_sha256": "0" * 64,
        "config": config or {}, "inputs": inputs, "facts": facts or {},
    }  # fmt: skip


@pytest.fixture
def table(tmp_path):
    """Two rows, each with an evaluation of a prior of its own, whose rates a sweep chose."""
    records = [record("data.prepare d", COMMITS["data"], {})]
    for row, rate in (("IN", 0.004), ("RIN", 0.001)):
        prior, tune = f"priors.train {row}.gpt.seed0", f"priors.tune {row}.gpt.tune"
        records += [
            record(tune, COMMITS["tune"], {"data": "data.prepare d"}, facts={"learning_rate": rate}),
            record(prior, COMMITS["prior"], {"tune": tune}, {"learning_rate": None, "loop": {"seed": 7, "steps": 20}}),
            record(f"evaluation.compare table1.{row}", COMMITS["row"], {"gpt.seed0": prior}),
        ]
    last = record(
        "figures.table1 table1", COMMITS["row"], {row: f"evaluation.compare table1.{row}" for row in ("IN", "RIN")}
    )
    write_json(
        tmp_path / "table1.provenance.json", last | {"total": {}, "rests_on": {one["job"]: one for one in records}}
    )
    (tmp_path / "table1.csv").write_text("row,nll\nIN,5.25\nRIN,4.5\n")
    return tmp_path / "table1.csv"


def line_of(text, job):
    return next(line for line in text.splitlines() if line.startswith(job)).removeprefix(job).split()


def test_a_cell_names_its_own_jobs_with_rates_seeds_steps_and_commits(table):
    text = trace(table, "IN", "nll")
    assert "nll = 5.25" in text
    assert line_of(text, "priors.train IN.gpt.seed0")[:4] == ["0.004", "7", "20", "ccccccc"]
    assert line_of(text, "priors.tune IN.gpt.tune")[:2] == ["0.004", "bbbbbbb"]
    assert "data.prepare d" in text
    assert "RIN.gpt" not in text


def test_a_row_without_an_evaluation_of_its_name_rests_on_all_jobs_of_the_table(table):
    table.write_text("row,nll\nmean,5.0\n")
    text = trace(table, "mean", "nll")
    assert all(f"priors.train {row}.gpt.seed0" in text for row in ("IN", "RIN"))


def test_a_name_of_several_lines_names_none_unless_they_agree(table):
    table.write_text("row,ordering,scale,nll\nIN,row_major,smoke,5.25\nIN,subsample,smoke,5.5\n")
    with pytest.raises(TwostageError, match=r"has 2 lines of IN; name one by its ordering: row_major, subsample$"):
        trace(table, "IN", "nll")
    assert "scale = smoke" in trace(table, "IN", "scale")
    assert "nll = 5.5" in trace(table, "subsample", "nll")


def test_what_is_not_in_the_table_is_one_line_with_what_is(table):
    with pytest.raises(TwostageError, match="no row X; its rows: IN, RIN"):
        trace(table, "X", "nll")
    with pytest.raises(TwostageError, match="no column fid; its columns: row, nll"):
        trace(table, "IN", "fid")
    with pytest.raises(TwostageError, match=re.escape("other.csv is missing")):
        trace(table.with_name("other.csv"), "IN", None)


def test_an_empty_word_names_no_row(table):
    table.write_text("row,nll\nIN,\nRIN,4.5\n")
    with pytest.raises(TwostageError, match=f"the row's name is empty; name one of {table}, such as IN"):
        trace(table, "", "nll")


PRIOR, LAST = "priors.train IN.gpt.seed0", ""


@pytest.mark.parametrize(
    ("of", "change", "message"),
    [
        (LAST, [], "holds .., not keys with values"),
        (LAST, None, "holds None, not keys"),
        (LAST, {}, "has no job, so it is no whole record"),
        *((LAST, key, f"has no {key}, so it is no whole record") for key in ("job", "scale", "commit", "rests_on")),
        *((PRIOR, key, f", rests_on {PRIOR} has no {key}") for key in ("job", "scale", "commit", "config_sha256")),
        (PRIOR, [], f", rests_on {PRIOR} holds .., which is no record of a job"),
        (LAST, {"rests_on": []}, "has the rests_on .., which no record"),
        (LAST, {"scale": 5}, "has the scale 5, which no record"),
        (PRIOR, {"commit": 5}, f", rests_on {PRIOR} has the commit 5"),
        (PRIOR, {"config": []}, f", rests_on {PRIOR} has the config .., which no record"),
        (PRIOR, {"facts": None}, f", rests_on {PRIOR} has the facts None"),
        (PRIOR, {"inputs": {"tune": ["x"]}}, f", rests_on {PRIOR} has an input .'x'., which is no name of a job"),
    ],
)
def test_a_damaged_record_is_one_line(of, change, message, table):
    path = table.with_suffix(".provenance.json")
    whole = read_json(path)
    one = whole["rests_on"][of] if of else whole
    if isinstance(change, str):
        damaged = {key: value for key, value in one.items() if key != change}
    else:
        damaged = one | change if change else change
    write_json(path, whole | {"rests_on": whole["rests_on"] | {of: damaged}} if of else damaged)
    with pytest.raises(TwostageError, match=f"^{path}{'' if of else ' '}{message}") as caught:
        trace(table, "IN", "nll")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metrics", ["[]", "5", "{", "[" * 100000 + "]" * 100000], ids=range(4))
def test_damaged_metrics_are_one_line(metrics, table):
    path = table.parent / "evaluation/table1.IN/metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(metrics)
    with pytest.raises(TwostageError, match=f"^{path} "):
        trace(table, "IN", "nll")


def test_the_committed_table_says_which_rate_made_a_number(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = trace(Path("results/table1.csv"), "IN", "transformer_steps")
    for seed in (0, 1):
        rate, found, *_ = line_of(text, f"priors.train cifar10.vqgan_f4.gpt.seed{seed}")
        assert (float(rate) > 0, int(found)) == (True, seed)
    assert re.search(r"^evaluation\.compare table1\.IN .*\b[0-9a-f]{7}\b", text, re.MULTILINE)
    assert "table1.RIN" not in text


def test_the_command_prints_the_trace_and_errors_are_one_line(table, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["twostage", "trace", str(table), "IN", "nll", "--configs"])
    main()
    assert "priors.train IN.gpt.seed0" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["twostage", "trace", str(table), "X"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")
