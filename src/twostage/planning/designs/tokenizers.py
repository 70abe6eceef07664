"""The plans of the ablations of image tokenizers: Esser et al. 2021, Fig. 9, Table 5 and Sec. A."""

from twostage.errors import TwostageError
from twostage.planning.builder import Builder
from twostage.planning.cells import Cell
from twostage.planning.designs.ablations import changes
from twostage.planning.jobs import data_job, reconstruct_job
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree


def tokenizer_ablation(plan: Builder) -> None:
    """Adds the jobs of one ablation: the tokenizers that it compares, how each reconstructs, summary and figure."""
    name, compared = plan.experiment["name"], _compared_tokenizers(plan)
    measured: dict[str, Job] = {}
    pictures: dict[str, Job] = {}
    for label, tree in compared.items():
        tokenizer = plan.trained(tree)
        if tokenizer.config["map"] != "image":
            raise TwostageError(f"{name} compares image tokenizers, {tree['tokenizers']['name']} is none")
        pictures[label] = reconstruct_job(tree, tokenizer, data_job(tree))
        rfid = plan.rfid(tree, tokenizer)
        jobs = {"data": data_job(tree), "tokenizer": tokenizer, "reconstruct": pictures[label], "rfid": rfid}
        measured |= {f"{label}.{kind}": job for kind, job in jobs.items()}
    config = {key: plan.experiment[key] for key in ("name", "varies", "paper_says")}
    config["rows"] = list(compared)
    config["paper_rows"] = [{"label": str(label)} | row for label, row in plan.experiment["paper_rows"].items()]
    summary = plan.add(new_job("evaluation.tokenizer_ablation", name, plan.tree, config, measured))
    figure, inputs = {"figures": plan.tree["figures"]}, {"summary": summary} | pictures
    plan.add(new_job("figures.tokenizer_ablation", name, plan.tree, figure, inputs))


def _compared_tokenizers(plan: Builder) -> dict[str, Tree]:
    """Label -> config tree with the dataset and the tokenizer of a row, in the order of the experiment."""
    compared: dict[str, Tree] = {}
    for row, cell in plan.rows(Cell).items():
        usual = plan.tree_of(cell, tokenizers=cell.tokenizer)
        changed = changes(plan.experiment, usual["tokenizers"])
        for label, change in changed.items():
            tree = plan.tree_of(cell, tokenizers=cell.tokenizer, more=change.overrides)
            # What differs in nothing keeps its name, and so the job of other experiments.
            same = tree["tokenizers"] == usual["tokenizers"]
            named = {} if same else {"name": f"{cell.tokenizer}_{change.spelled}"}
            compared[label] = tree | {"tokenizers": tree["tokenizers"] | named}
        if not changed:
            compared[row] = usual
    return compared
