"""Which jobs of the real plan count which code: a copy of the package is edited, and fingerprints are compared."""

import shutil

import pytest

from tests.unit.conftest import ROOT
from twostage.config import composition
from twostage.planning.whole import whole_plan
from twostage.runtime.fingerprint import PACKAGE, Code


@pytest.fixture(scope="module")
def jobs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "CONF", ROOT / "conf")
        return whole_plan("laptop").jobs


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the package, and a file that keeps the tables of its modules."""
    folder = tmp_path_factory.mktemp("code")
    shutil.copytree(PACKAGE, folder / "twostage", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def before(jobs, copied):
    return fingerprints(jobs, copied)


def fingerprints(jobs, copied):
    code = Code(copied / "twostage", copied / "kept.json")
    return {folder: code.fingerprint(job.name, job.choices) for folder, job in jobs.items()}


@pytest.fixture
def changed(jobs, copied, before):
    """The jobs whose fingerprints some edits change, as (verb, architectures) of all such jobs."""
    originals = {}

    def edit(*edits):
        for module, old, new in edits:
            path = copied / f"twostage/{module}.py"
            text = path.read_text() if path.exists() else ""
            originals.setdefault(path, text)
            assert old in text
            path.write_text(text.replace(old, new, 1) if old else text + new)
        after = fingerprints(jobs, copied)
        return {folder: jobs[folder] for folder in jobs if after[folder] != before[folder]}

    yield edit
    for path, text in originals.items():
        path.write_text(text)


def verbs(jobs):
    return {job.name for job in jobs.values()}


def priors(jobs):
    """The architectures of the trainings and sweeps of priors among the jobs."""
    return {job.config["architecture"] for job in jobs.values() if job.stage == "priors" and job.verb != "pace"}


def test_what_sundae_is_concerns_no_other_prior(changed):
    found = changed(("priors/sundae", "def codes_at(", "def more():\n    return 1\n\n\ndef codes_at("))
    assert found == {}
    found = changed(("priors/sundae", "class Sundae(Denoiser):", "class Sundae(Denoiser):\n    more = 1\n"))
    assert priors(found) == {"sundae"}
    assert {"priors.train", "priors.tune", "sampling.denoise", "sampling.inpaint"} <= verbs(found)
    assert not {"sampling.generate", "tokenizers.train", "latents.encode", "evaluation.samples"} & verbs(found)


def test_what_a_gpt_is_concerns_no_other_prior(changed):
    found = changed(("priors/gpt", "class GPT(nn.Module):", "class GPT(nn.Module):\n    more = 1\n"))
    assert priors(found) == {"gpt"}
    assert {"priors.train", "priors.tune", "sampling.generate", "evaluation.likelihood"} <= verbs(found)
    assert not {"sampling.denoise", "tokenizers.train"} & verbs(found)


@pytest.mark.parametrize(
    ("module", "name", "architectures"),
    [
        ("priors/transformer", "Attention", {"gpt", "absorbing"}),
        ("priors/pixelsnail", "PixelSNAIL", {"pixelsnail"}),
        ("priors/hourglass", "Shorten", {"sundae", "absorbing"}),
    ],
)
def test_a_network_concerns_the_priors_that_have_it(changed, module, name, architectures):
    found = changed((module, f"class {name}(nn.Module):", f"class {name}(nn.Module):\n    more = 1\n"))
    assert priors(found) == architectures


def test_a_constant_of_one_map_concerns_that_map(copied):
    code = Code(copied / "twostage", copied / "kept.json")
    counted = {name: code.fingerprint("data.annotate", {"map": [name]}) for name in ("segmentation", "edges")}
    assert "config.schema:VOC_LABELS" in counted["segmentation"]
    assert "config.schema:VOC_LABELS" not in counted["edges"]


def test_a_new_architecture_concerns_no_prior_that_there_is(changed):
    case = '        case "flow":\n            return Flow(_required(config.flow, "flow"), tokens)\n'
    task = '        case "flow":\n            return FlowTask(model, config, learning_rate, train, held_out)\n'
    other = '        case other:\n            raise TwostageError(\n                f"priors.architecture='
    found = changed(
        ("priors/flow", "", "class Flow:\n    pass\n"),
        ("priors/model", other, case + other),
        (
            "priors/model",
            "from twostage.priors.gpt",
            "from twostage.priors.flow import Flow\nfrom twostage.priors.gpt",
        ),
        ("priors/task", "        case _:\n", task + "        case _:\n"),
        (
            "config/schema",
            'one_of("gpt", "pixelsnail", "sundae", "absorbing")',
            'one_of("gpt", "pixelsnail", "sundae", "absorbing", "flow")',
        ),
        (
            "config/schema",
            "    sundae: SundaeConfig | None = None",
            "    sundae: SundaeConfig | None = None\n    flow: None = None",
        ),
    )
    assert found == {}


def test_a_seventh_ordering_concerns_none_that_there_is(changed):
    found = changed(
        ("latents/orderings", "def _random(", "def _columns(height, width):\n    return 0\n\n\ndef _random("),
        ("latents/orderings", '    "random": _random,', '    "random": _random,\n    "columns": _columns,'),
        ("config/schema", '"spiral_in", "random")', '"spiral_in", "random", "columns")'),
    )
    assert found == {}


def test_a_new_quantity_concerns_no_number_that_there_is(changed):
    found = changed(
        ("evaluation/quantities/more", "", "def more(folders):\n    return 1.0\n"),
        (
            "evaluation/quantities/__init__",
            "QUANTITIES = {",
            'QUANTITIES = {\n    "more": Quantity("more", "", ".1f"),',
        ),
        (
            "evaluation/quantities/__init__",
            "ROLES = ",
            "from twostage.evaluation.quantities.more import more\n\nROLES = ",
        ),
    )
    # Figures look titles up in all of it.
    assert verbs(found) <= {"figures.study", "figures.summary", "figures.f_sweep"}


def test_an_ordering_concerns_the_jobs_in_its_order(changed):
    found = changed(("latents/orderings", "return _sorted_by_bits(height, width, lowest_first=True)", "return 1"))
    trained = {folder for folder, job in found.items() if job.stage == "priors"}
    assert trained == {f"artifacts/laptop/priors/cifar10.vqgan_f4.gpt.subsample.seed{seed}" for seed in (0, 1)}
    assert verbs(found) == {"priors.train", "sampling.generate", "evaluation.collect"}


@pytest.mark.parametrize(
    ("edit", "stages"),
    [
        (("config/schema", "POSE_LABELS = 19", "POSE_LABELS = 20"), {"data"}),
        (("config/schema", 'SPLITS = ("train",', 'SPLITS = ("training",'), {"data", "latents", "evaluation"}),
        (("tokenizers/losses", "def adaptive_weight(", "def adaptive_weight(more=1, *,"), {"tokenizers"}),
        (("figures/style", "def style(", "def style(more, "), {"figures"}),
        (("runtime/training", "def warmed_up(", "def warmed_up(more, "), {"tokenizers", "priors", "evaluation"}),
    ],
)
def test_a_change_concerns_the_stages_that_use_it(changed, edit, stages):
    found = {job.stage for job in changed(edit).values()}
    assert found
    assert found <= stages


def test_words_concern_no_job(changed):
    found = changed(
        ("priors/gpt", '"""', '"""Other words. '),
        ("priors/train", "def run(", "# Why.\ndef run("),
        ("priors/train", "log = logging.getLogger(__name__)", "# How.\nlog = logging.getLogger(__name__)"),
        ("planning/jobs", "def data_job(", "def new():\n    return 1\n\n\ndef data_job("),
        ("config/schema", "    dropout: float = share()", "    dropout: float = share(default=0.5)"),
    )
    assert found == {}
