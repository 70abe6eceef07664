"""The headline numbers of every experiment as one small JSON, and every learning curve as one CSV: what DVC shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twostage import cli
from twostage.artifacts import read_json, write_csv, write_json
from twostage.plan import Job

TOKENIZER_METRICS = ("lpips_vgg", "psnr_decibels", "perplexity", "codes_used")
TABLE1_METRICS = ("transformer_steps", "transformer_time", "pixelsnail")


@dataclass
class SummaryConfig:
    """Nothing to choose: all that was evaluated is summarised."""


def summary(_: SummaryConfig, job: Job) -> None:
    """Writes metrics.json, experiment -> row -> number, and curves.csv, one line per evaluation point of a prior."""
    measured = {variant: read_json(Path(folder) / "metrics.json") for variant, folder in job.inputs.items()}
    rows = {metrics["row"]: metrics for metrics in measured.values() if "row" in metrics}
    tokenizers = {variant: metrics for variant, metrics in measured.items() if "lpips_vgg" in metrics}
    headlines = {
        "table1_nll": {label: {name: _mean(row, name) for name in TABLE1_METRICS} for label, row in rows.items()},
        "tokenizers": {
            variant.replace(".", "_"): {name: metrics[name] for name in TOKENIZER_METRICS}
            for variant, metrics in tokenizers.items()
        },
    }
    write_json(job.folder / "metrics.json", headlines)
    write_csv(job.folder / "curves.csv", [point for label, row in rows.items() for point in _points(label, row)])


def _mean(row: dict[str, Any], name: str) -> float:
    return float(row["nll_nats_per_token"][name]["mean"])


def _points(label: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The curves of one row of Table 1, in long form."""
    points = []
    for run, curve in row["curves"].items():
        architecture, _, seed = run.partition(".seed")
        for step, seconds, nll in zip(curve["step"], curve["train_seconds"], curve["nll"], strict=True):
            points.append(
                {
                    "row": label,
                    "prior": architecture,
                    "seed": int(seed),
                    "step": int(step),
                    "train_seconds": seconds,
                    "validation_nll_nats_per_token": nll,
                }
            )
    return points


def main() -> None:
    """Entry point of `python -m twostage.figures.summary`."""
    cli.run("figures.summary", SummaryConfig, summary)


if __name__ == "__main__":
    main()
