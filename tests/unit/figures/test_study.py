"""The table and figures of a study: every promised file, the paper beside ours, same input same bytes."""

from itertools import pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.studies import collected, point, write_prior, write_reconstructions, write_samples
from tests.unit.figures.conftest import assert_same_files_twice
from twostage.config.schema import FiguresConfig
from twostage.evaluation.collect import CollectConfig
from twostage.evaluation.quantities import QUANTITIES
from twostage.figures import study as figures_study
from twostage.figures import style
from twostage.figures.study import Panel, StudyConfig, study
from twostage.runtime.artifacts import read_csv, read_json, write_json
from twostage.runtime.job import Job

LOOK = FiguresConfig(style="neurips2024", palette={}, png_dpi=50)
IN = {"data": "cifar10", "tokenizers": "vqgan_f4"}


def of_priors(tmp_path, values=(0.0, 0.1), seeds=(0, 1), rows=("IN",), key="dropout", **config):
    """A study of transformers over one key, NLL up by 0.1 a value and 0.2 a seed; the first seed is sampled."""
    points, runs = [], {}
    for row in rows:
        for number, value in enumerate(values):
            for seed in seeds:
                at = len(points)
                points.append(point(row, seed, **({key: value} if key else {})))
                runs[at] = write_prior(tmp_path / f"run{at}", 3.0 + 0.1 * number + 0.2 * seed)
                runs[at] |= write_samples(tmp_path / f"run{at}", 90.0 + number) if seed == seeds[0] else {}
    compare = {"compare_to": {key: values[0]}} if key else {}
    asked = CollectConfig("mine", points, ["nll", "fid", "parameters"], **compare, **config)
    return collected(tmp_path, runs, asked)


def of_tokenizers(tmp_path):
    """Two rows without a key."""
    runs = {at: write_reconstructions(tmp_path / f"run{at}", 0.2 + at / 10, shade=100) for at in range(2)}
    config = CollectConfig("mine", [point("VQGAN"), point("VQVAE")], ["lpips"], pictures=3)
    return collected(tmp_path, runs, config)


def drawing(tmp_path, table, panels=(), rows=None, keys=("dropout",), show=("nll", "nll.difference", "fid"), **text):
    """The config and the job that draw a collected table."""
    kinds = [panel.kind for panel in panels]
    figures = [""] if set(kinds) - {"pictures"} else []
    figures += ["_samples"] if "pictures" in kinds else []
    files = [f"mine{end}" for end in (".csv", "_long.csv", ".md", ".tex")]
    files += [f"mine{end}.{kind}" for end in figures for kind in ("pdf", "png")]
    job = Job("figures", "study", "mine", "smoke", {}, {"table": table.out}, str(tmp_path / "drawn"), files)
    text = {"title": "Dropout", "paper": [], "paper_says": ""} | text
    return StudyConfig(rows=rows or {"IN": IN}, keys=list(keys), show=list(show), panels=list(panels), figures=LOOK,
                       **text), job  # fmt: skip


def drawn(tmp_path, table, *panels, **config):
    """Lines of the CSV and of the Markdown table."""
    asked, job = drawing(tmp_path, table, panels, **config)
    study(asked, job)
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    lines = [line for line in (job.folder / "mine.md").read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return read_csv(job.folder / "mine.csv"), [dict(zip(cells[0], line, strict=True)) for line in cells[2:]]


def test_the_tables_have_a_line_for_every_value(tmp_path):
    numbers, printed = drawn(tmp_path, of_priors(tmp_path))
    assert [(line["row"], line["dropout"], line["data"], line["tokenizers"]) for line in numbers] == [
        ("IN", "0", "cifar10", "vqgan_f4"),
        ("IN", "0.1", "cifar10", "vqgan_f4"),
    ]
    assert [(line["num_seeds_nll"], float(line["nll"]), line["num_seeds_fid"]) for line in numbers] == [
        ("2", 3.1, "1"),
        ("2", 3.2, "1"),
    ]
    assert [line["dropout"] for line in printed] == ["0", "0.1"]
    assert printed[0]["validation NLL [nats per token]"].startswith("3.100 ± 0.141 [")
    assert (tmp_path / "drawn/mine.tex").read_text().count("\\\\") == 3


def test_a_difference_is_signed_and_the_reference_has_none(tmp_path):
    numbers, printed = drawn(tmp_path, of_priors(tmp_path))
    assert (numbers[0]["nll_difference_mean"], float(numbers[1]["nll_difference_mean"])) == ("", 0.1)
    assert printed[0]["Δ validation NLL"] == ""
    assert printed[1]["Δ validation NLL"].startswith("+0.100 ± 0.000")


def test_a_difference_has_its_corrected_p_and_the_caption_says_what_no_interval_covers(tmp_path):
    made = of_priors(tmp_path)
    metrics = read_json(made.folder / "metrics.json")
    for one in metrics["statistics"]:
        if one["difference"]:
            one["difference"]["p_holm"] = 0.0123
    write_json(made.folder / "metrics.json", metrics)
    _, printed = drawn(tmp_path, made)
    assert printed[1]["Δ validation NLL"].endswith(", p 0.012")
    text = (tmp_path / "drawn/mine.md").read_text()
    assert "(Holm)" in text
    assert "no interval covers its seed" in text


def test_the_caption_says_where_completions_are_measured(tmp_path):
    made = of_priors(tmp_path)
    metrics, said = read_json(made.folder / "metrics.json"), "Agreement is of the lower 16 rows, which were drawn"
    told = {"num_conditions": 5, "size": 32, "per_condition": 2, "given_tokens_per_image": 32}
    for drawn_rows, is_said in (({"drawn_rows": 16}, True), ({}, False)):
        write_json(made.folder / "metrics.json", metrics | {"conditions": told | drawn_rows})
        numbers, _ = drawn(tmp_path, made)
        assert (said in (tmp_path / "drawn/mine.md").read_text()) == is_said
        assert numbers[0].get("drawn_rows") == ("16" if is_said else None)


def test_one_seed_has_no_spread(tmp_path):
    _, printed = drawn(tmp_path, of_priors(tmp_path, seeds=(0,)))
    assert printed[1]["validation NLL [nats per token]"] == "3.100"
    assert printed[1]["Δ validation NLL"] == "+0.100"


def test_a_key_named_as_what_all_runs_share_keeps_its_values(tmp_path):
    """Steps of a chain, beside those of the prior that all chains draw from."""
    numbers, _ = drawn(tmp_path, of_priors(tmp_path, values=(30, 60), key="steps"), keys=["steps"])
    assert [(line["steps"], line["prior_steps"]) for line in numbers] == [("30", "10"), ("60", "10")]


PAPER = [{"dropout": 0.1, "nll": 4.5}, {"dropout": 0.5, "nll": 4.0, "fid": 17.0}]


def test_a_printed_number_stands_beside_ours_or_on_a_line_of_its_own(tmp_path):
    numbers, printed = drawn(tmp_path, of_priors(tmp_path), paper=PAPER)
    assert [line["paper_nll"] for line in numbers] == ["", "4.5", "4"]
    assert [line["nll"] for line in numbers][2] == ""
    assert [line["paper validation NLL"] for line in printed] == ["", "4.5", ""]
    assert (printed[2]["dropout"], printed[2]["FID"]) == ("paper: 0.5", "17")


def test_the_long_table_has_the_printed_numbers_too(tmp_path):
    drawn(tmp_path, of_priors(tmp_path), paper=PAPER)
    lines = read_csv(tmp_path / "drawn/mine_long.csv")
    assert [(line["dropout"], line["quantity"], line["value"]) for line in lines if line["source"] == "paper"] == [
        ("0.1", "nll", "4.5"), ("0.5", "nll", "4.0"), ("0.5", "fid", "17.0"),
    ]  # fmt: skip
    ours = [line for line in lines if line["source"] == "ours"]
    assert ours == read_csv(tmp_path / "collected/table.csv")


def test_a_printed_number_belongs_to_its_row_alone(tmp_path):
    table = of_priors(tmp_path, rows=("IN", "RIN"))
    numbers, _ = drawn(tmp_path, table, rows={"IN": IN, "RIN": IN}, paper=[PAPER[0] | {"row": "RIN"}])
    assert [(line["row"], line["paper_nll"]) for line in numbers if line["paper_nll"]] == [("RIN", "4.5")]


def test_a_printed_number_of_a_row_that_this_scale_lacks_is_shown(tmp_path):
    _, printed = drawn(tmp_path, of_priors(tmp_path), paper=[{"row": "CelebA", "dropout": 0.1, "fid": 10.2}])
    assert len(printed) == 3
    assert "CelebA" in printed[2]["dropout"]
    assert printed[2]["FID"] == "10.2"


def test_of_a_key_that_the_paper_does_not_say_nothing_is_said(tmp_path):
    numbers, _ = drawn(tmp_path, of_priors(tmp_path), paper=[{"nll": 4.5}])
    assert (numbers[2]["dropout"], numbers[2]["paper_nll"]) == ("", "4.5")


def test_captions_name_data_and_tokenizer_unless_they_vary(tmp_path):
    """A study may vary its tokenizer, or its data, so that a row has none of its own."""
    for number, row in enumerate([IN, {"data": "cifar10"}, {"tokenizers": "vqgan_f4"}, {}]):
        folder = tmp_path / str(number)
        drawn(folder, of_priors(folder), Panel("line", "nll", ""), rows={"IN": row})
        text = (folder / "drawn/mine.md").read_text()
        assert all(name in text for name in row.values())


PANELS = {
    "line": [Panel("line", "nll", ""), Panel("line", "nll", "step")],
    "point": [Panel("point", "nll", ""), Panel("point", "fid", "nll"), Panel("point", "nll", "row")],
    "difference": [Panel("difference", "nll", "")],
    "bars": [Panel("bars", "nll", ""), *[Panel("bars", "fid", "")] * 4],
}
TABLES = {
    "numbers": {},
    "one seed": {"seeds": (0,)},
    "several rows": {"rows": ("IN", "RIN")},
    "words": {"values": ("patches", "sequence")},
    "nothing or a number": {"values": (None, 0.1)},
    "many": {"values": tuple(range(10)), "seeds": (0,)},
}


@pytest.mark.parametrize("options", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("kind", PANELS)
def test_every_panel_draws_every_table(tmp_path, kind, options):
    rows = dict.fromkeys(options.get("rows", ["IN"]), IN)
    drawn(tmp_path, of_priors(tmp_path, **options), *PANELS[kind], rows=rows, paper=[{"row": "IN"} | PAPER[0]])


def test_a_study_without_keys_compares_its_rows(tmp_path):
    panels = [Panel("point", "lpips", ""), Panel("pictures", "", "")]
    rows = {"VQGAN": IN, "VQVAE": {"data": "cifar10", "tokenizers": "vqvae_f4"}}
    numbers, printed = drawn(tmp_path, of_tokenizers(tmp_path), *panels, rows=rows, keys=[], show=["lpips"])
    assert [line["row"] for line in printed] == [line["row"] for line in numbers] == ["VQGAN", "VQVAE"]
    alone = tmp_path / "alone"
    _, (line,) = drawn(alone, of_priors(alone, values=(None,), key=None), Panel("line", "nll", ""), keys=[])
    assert line["row"] == "IN"


def test_same_input_gives_the_same_bytes(tmp_path):
    table = of_priors(tmp_path, pictures=2)
    panels = [*(panel for panels in PANELS.values() for panel in panels), Panel("pictures", "", "")]
    config, job = drawing(tmp_path, table, panels, paper=PAPER)
    assert_same_files_twice(study, config, job)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_a_quantity_can_be_printed(quantity):
    assert f"{1234.5:{quantity.format}}"
    assert f"{-0.25:+{quantity.format.lstrip(',')}}".startswith("-")
    assert quantity.better in ("lower", "higher", "neither")
    assert quantity.key or quantity.measure or quantity.curve


@pytest.mark.parametrize("kind", ["bars", "difference"])
def test_labels_of_long_settings_lie_inside_of_the_figure_and_above_one_another(tmp_path, monkeypatch, kind):
    long = {"loss": "hinge", "weight": 0.3, "augment": True, "layers": 3, "steps_ahead": 100}
    table = of_priors(tmp_path, values=(None, long, long | {"weight": 1.0}), key="discriminator")
    seen = []

    def save(figure, *where):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        labels = figure.axes[0].get_yticklabels()
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
        assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
        assert all(lower.y1 <= upper.y0 for upper, lower in pairwise(boxes))
        seen.extend(label.get_text() for label in labels)
        style.save(figure, *where)

    monkeypatch.setattr(figures_study, "save", save)
    drawn(tmp_path, table, Panel(kind, "nll", ""), keys=("discriminator",))
    assert len(seen) == 3
    assert any("\n" in label for label in seen)
