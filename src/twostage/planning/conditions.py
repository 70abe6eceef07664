"""What samples of a study are drawn under and held against: the conditions of held-out images.

Source of the tasks: Esser et al. 2021, Sec. 4.2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from twostage.config import schema
from twostage.config.values import at_least
from twostage.errors import TwostageError
from twostage.evaluation.quantities import QUANTITIES, spread_over_images
from twostage.planning.builder import Builder
from twostage.planning.jobs import classifier_job, data_job, grid_side, weights_job
from twostage.planning.verbs import new_job
from twostage.runtime.job import Job, Tree

_HELD = {name: quantity for name, quantity in QUANTITIES.items() if quantity.role == "agreement"}
# How samples agree with their conditions; each of these has its spread over images beside it.
AGREEMENT = {name: quantity for name, quantity in _HELD.items() if spread_over_images(name) in _HELD}

# What stands beside samples of the study's own prior: those of the same prior without a condition, and what samples
# can reach at best.
CONDITIONAL, UNCONDITIONAL, RECONSTRUCTION, REAL = "conditional", "unconditional", "reconstruction", "real"
# What the unconditional prior is not given.
GIVEN = ("priors.condition", "sampling.given")
# They compare images with the real ones, which real images equal; the diversity is of several samples.
LIKENESS = ("lpips_to_truth", "psnr_to_truth_decibels", "diversity_lpips")
OF_LPIPS = ("lpips_to_truth", "diversity_lpips")
LPIPS_ROWS = 16  # with fewer, the deepest features of LPIPS are empty
# The share of an image's tokens that the paper completes it from (Esser et al. 2021, Fig. 4).
HALF = 0.5


@dataclass
class Conditions:
    """The first so many validation images, and how many samples are drawn under the condition of each."""

    images: int = at_least(1)
    per_condition: int = at_least(1, default=1)

    @property
    def num_samples(self) -> int:
        """All samples of a run."""
        return self.images * self.per_condition


def kind_of(plan: Builder, tree: Tree) -> str | None:
    """What conditions the prior of a tree: class, coordinates or the name of a map; None: nothing does."""
    match tree["priors"]["condition"]:
        case None | "class" | "coordinates" as kind:
            return kind
        case tokenizer:
            found: str = plan.composed({"tokenizers": tokenizer})["tokenizers"]["map"]
            return found


def num_labels(tree: Tree, kind: str | None) -> int | None:
    """Label ids of a map of labels; None of every other map."""
    match kind:
        case "segmentation":
            return tree["data"]["num_labels"] or schema.VOC_LABELS
        case "pose":
            return schema.POSE_LABELS
        case _:
            return None


def require_measurable(measured: Sequence[str], kind: str | None) -> None:
    """Raises TwostageError for a quantity of agreement with another map than `kind`, the condition."""
    allowed = [name for name, quantity in AGREEMENT.items() if quantity.given in ("", kind)]
    if wrong := [name for name in measured if name in AGREEMENT and name not in allowed]:
        raise TwostageError(
            f"samples given {kind or 'no map'} have no {wrong[0]}; measure some of {', '.join(allowed)}"
        )


def require_one_grid(plan: Builder, tree: Tree, has_window: bool = False) -> None:
    """Raises TwostageError for a prior that reads a map's code at the place of the image's, if grids differ.

    All but the transformer do, and that too if it sees a window of both.
    """
    condition, architecture = tree["priors"]["condition"], tree["priors"]["architecture"]
    if condition in (None, "class", "coordinates") or (architecture == "gpt" and not has_window):
        return
    of_map = tree | {"tokenizers": plan.composed({"data": tree["data"]["name"], "tokenizers": condition})["tokenizers"]}
    image, given = grid_side(tree), grid_side(of_map)
    if given not in (image, 1):
        raise TwostageError(
            f"{architecture} takes a condition on the grid of the image, and {condition} makes {given}x{given} "
            f"codes where {tree['tokenizers']['name']} makes {image}x{image}; name tokenizers of one grid, or "
            "priors: gpt"
        )


def rows_given(tree: Tree) -> float:
    """The share of an image's rows, from the top, in which `sampling.given` gives codes.

    Raises TwostageError for an ordering that does not begin with the upper rows, and if no row is wholly drawn.
    """
    given, ordering = tree["sampling"]["given"], tree["priors"]["ordering"]
    if not given:
        return 0.0
    if ordering != "row_major":
        raise TwostageError(
            f"completions are measured below the rows that are given, and {ordering} begins elsewhere; set "
            "priors.ordering to row_major"
        )
    side = grid_side(tree)
    # As many tokens as sampling gives.
    num_rows = math.ceil(round(given * side**2) / side)
    if num_rows == side:
        raise TwostageError(
            f"sampling.given: {given} leaves none of {side} rows of codes to be drawn and measured; lower it"
        )
    return num_rows / side


def agreement_job(
    plan: Builder, tree: Tree, kind: str | None, measured: Sequence[str], source: Job | None, conditions: Conditions,
    pictures: int = 0,
) -> Job | None:  # fmt: skip
    """Adds what measures how images agree with conditions; None if nothing can be measured of them.

    `source`: the sampling of the images, or the tokenizer of reconstructions; None: the real images themselves.
    `tree`: of the prior with its condition, which `kind` says.
    """
    is_sampled = source is not None and source.stage == "sampling"
    left_out = () if is_sampled else LIKENESS if source is None else ("diversity_lpips",)
    quantities = [name for name in measured if name in AGREEMENT and name not in left_out]
    if not quantities:
        return None
    data = plan.add(data_job(tree))
    inputs: dict[str, Job] = {"data": data} | ({} if source is None else {source.stage: source})
    inputs = {{"sampling": "samples", "tokenizers": "tokenizer"}.get(name, name): job for name, job in inputs.items()}
    if kind not in (None, "class", "coordinates"):
        inputs["maps"] = plan.maps(tree, str(kind))
    if set(OF_LPIPS) & set(quantities):
        inputs["vgg16"] = plan.add(weights_job(tree, "vgg16"))
    if "class_recovered" in quantities:
        inputs["classifier"] = plan.add(classifier_job(tree, data))
    config: Tree = {
        "quantities": quantities,
        "condition": kind,
        "conditions": conditions.images,
        "per_condition": conditions.per_condition if is_sampled else 1,
        "num_labels": num_labels(tree, kind),
        "canny_sigma": tree["data"]["canny_sigma"],
        "batch_size": tree["evaluation"]["batch_size"],
        "pictures": pictures,
    }
    below = ""
    if begun := rows_given(tree):
        # Other jobs leave the key out, so that their hashes stay valid.
        config["rows_given"] = begun
        drawn_rows = round((1 - begun) * tree["data"]["size"])
        if "vgg16" in inputs and drawn_rows < LPIPS_ROWS:
            raise TwostageError(
                f"LPIPS needs {LPIPS_ROWS} rows of pixels, and {drawn_rows} are drawn; lower sampling.given, or "
                "measure no LPIPS"
            )
        below = "" if begun == HALF else f".below{begun:g}"
    of = f"{data.variant}.{REAL}" if source is None else source.variant if is_sampled else f"{source.variant}.decoded"
    name = f"{plan.study['name']}.{kind or 'beginning'}{below}.{of}"
    return plan.add(new_job("evaluation.agree", name, tree, config, inputs, _files(pictures)))


def _files(pictures: int) -> list[str]:
    return ["metrics.json"] + (["grid.npy"] if pictures else [])
