from twostage.figures.summary import HEADLINES, SummaryConfig, summary
from twostage.planning.verbs import VERBS
from twostage.runtime.artifacts import read_csv, read_json, write_csv, write_json
from twostage.runtime.job import Job

FACTOR = {
    "lpips": 0.1, "nll_nats_per_image": 4000.0, "fid": 200.0, "kid_mean": 0.2, "sampling_seconds_per_image": 0.5,
    "sampling_speedup": 1.0,
}  # fmt: skip


def mean(value):
    return {"mean": value, "std": 0.1}


def job(tmp_path):
    write_json(
        tmp_path / "row/metrics.json",
        {
            "row": "IN",
            "nll_nats_per_token": {
                "transformer_steps": mean(4.0), "transformer_time": mean(3.9), "pixelsnail": mean(4.2),
                "difference_steps": mean(-0.2),
            },
            "curves": {"gpt.seed1": {"step": [0, 10], "train_seconds": [0.0, 1.5], "nll": [5.0, 4.0]}},
        },
    )  # fmt: skip
    write_json(
        tmp_path / "tokenizer/metrics.json",
        {"lpips_vgg": 0.2, "psnr_decibels": 22.0, "perplexity": 400.0, "codes_used": 512, "images": 10},
    )
    line = {"study": "orderings", "row": "IN", "ordering": "row_major", "quantity": "nll"}
    curve = [(0, 0, 5.0), (1, 0, 6.0), (0, 10, 4.0), (1, 10, 5.0)]
    lines = [line | {"seed": seed, "step": step, "value": value} for seed, step, value in curve]
    write_csv(tmp_path / "orderings/table.csv", [*lines, line | {"seed": 0, "step": "", "value": 4.0}])
    one = {"row": "IN", "values": {"ordering": "row_major"}, "quantity": "nll", "mean": 4.5}
    write_json(tmp_path / "orderings/metrics.json", {"study": "orderings", "statistics": [one]})
    compared = {"fid_improvement_percent": 12.0, "kid_improvement_percent": None, "sampling_speedup": 7.5}
    write_json(tmp_path / "pixels_vs_latents/metrics.json", compared | {"scale": "smoke"})
    write_json(tmp_path / "f_sweep/metrics.json", {"factors": {"f1": FACTOR | {"tokenizer": "kmeans_f1"}}})
    statistics = [
        {"row": "IN-Edges", "values": {"model": model}, "quantity": "edges_f1", "mean": value}
        for model, value in (("conditional", 0.5), ("unconditional", 0.2))
    ]
    settings = {"k 50": {"acceptance": 1.0, "class_accuracy": 0.25, "fid": 9.0}}
    write_json(tmp_path / "rejection/metrics.json", {"rows": settings, "paper_rows": [{"acceptance_rate": 0.05}]})
    write_json(tmp_path / "edges/metrics.json", {"study": "edges", "statistics": statistics})
    inputs = {
        "edges": str(tmp_path / "edges"),
        "pixels_vs_latents": str(tmp_path / "pixels_vs_latents"),
        "f_sweep": str(tmp_path / "f_sweep"),
        "rejection": str(tmp_path / "rejection"),
        "orderings": str(tmp_path / "orderings"),
        "table1.IN": str(tmp_path / "row"),
        "cifar10.vqgan_f4": str(tmp_path / "tokenizer"),
    }
    return Job(
        "figures", "summary", "summary", "smoke", {}, inputs, str(tmp_path / "out"), VERBS["figures.summary"].files
    )


def test_the_summary_has_the_means_of_what_was_evaluated(tmp_path):
    summary(SummaryConfig(), job(tmp_path))
    assert read_json(tmp_path / "out/summary.json") == {
        "table1_nll": {"IN": {"transformer_steps": 4.0, "transformer_time": 3.9, "pixelsnail": 4.2}},
        "orderings": {"IN ordering row_major": {"nll": 4.5}},
        "edges": {"IN-Edges model conditional": {"edges_f1": 0.5}, "IN-Edges model unconditional": {"edges_f1": 0.2}},
        "pixels_vs_latents": {
            "fid_improvement_percent": 12.0,
            "kid_improvement_percent": None,
            "sampling_speedup": 7.5,
        },
        "f_sweep": {"f1": FACTOR},
        "tokenizers": {
            "cifar10_vqgan_f4": {"lpips_vgg": 0.2, "psnr_decibels": 22.0, "perplexity": 400.0, "codes_used": 512}
        },
    }


def test_a_study_has_the_quantities_of_each_run(tmp_path):
    asked = job(tmp_path)
    statistics = [
        {"row": "IN", "values": {"dropout": dropout}, "quantity": name, "mean": dropout + number}
        for dropout in (0.0, 0.5)
        for number, name in enumerate(("nll", "fid"))
    ]
    write_json(tmp_path / "study/metrics.json", {"study": "gpt_dropout", "statistics": statistics})
    asked.inputs["gpt_dropout"] = str(tmp_path / "study")
    summary(SummaryConfig(), asked)
    # Dots would separate keys.
    assert read_json(tmp_path / "out/summary.json")["gpt_dropout"] == {
        "IN dropout 0": {"nll": 0.0, "fid": 1.0},
        "IN dropout 0_5": {"nll": 0.5, "fid": 1.5},
    }


def test_sets_of_samples_have_their_numbers(tmp_path):
    asked = job(tmp_path)
    row = {"fid": 90.0, "fid_infinity": 80.0, "density": 0.5, "coverage": 0.4, "sampling_seconds_per_image": 0.1}
    write_json(tmp_path / "sets/metrics.json", {"sets": {"SUNDAE, 12 steps": row | {"steps": 1}}})
    asked.inputs["sundae_vs_autoregressive.FFHQ256"] = str(tmp_path / "sets")
    summary(SummaryConfig(), asked)
    found = read_json(tmp_path / "out/summary.json")
    assert found["sundae_vs_autoregressive_FFHQ256"] == {"SUNDAE, 12 steps": row}
    assert read_json(tmp_path / "out/metrics.json")["sundae_fid"] == 90.0


def test_curves_are_one_line_per_evaluation_point(tmp_path):
    summary(SummaryConfig(), job(tmp_path))
    table1 = read_csv(tmp_path / "out/table1_curves.csv")
    assert [(line["panel"], line["curve"], line["seed"], line["step"]) for line in table1] == [
        ("IN", "gpt", "1", "0"),
        ("IN", "gpt", "1", "10"),
    ]
    assert float(table1[1]["train_seconds"]) == 1.5
    assert float(table1[1]["validation_nll_nats_per_token"]) == 4.0
    orderings = read_csv(tmp_path / "out/orderings_curves.csv")
    assert [(line["curve"], line["step"], line["validation_nll_nats_per_token"]) for line in orderings] == [
        ("row_major", "0", "5.5"),
        ("row_major", "10", "4.5"),
    ]


def test_headlines_are_few_numbers_under_names_without_levels(tmp_path):
    summary(SummaryConfig(), job(tmp_path))
    found = read_json(tmp_path / "out/metrics.json")
    assert (found["transformer_nll"], found["pixelsnail_nll"], found["edges_f1"]) == (4.0, 4.2, 0.5)
    assert all(isinstance(value, int | float) for value in found.values())
    assert len(HEADLINES) <= 12


def test_the_curve_of_rejection_has_no_empty_cell(tmp_path):
    summary(SummaryConfig(), job(tmp_path))
    (line,) = read_csv(tmp_path / "out/rejection_curve.csv")
    assert line == {"setting": "k 50", "acceptance": "1.0", "class_accuracy": "0.25"}
