"""Fingerprints of small packages: what counts as code of a verb, and what does not."""

import textwrap

import pytest

from twostage.runtime.fingerprint import Code

TRAIN = """
    from twostage.config.schema import LABELS, Config
    from twostage.latents import orders
    from twostage.priors import gpt, sundae
    from twostage.runtime.shared import Kept, helper as by_another_name

    STEPS = 10
    MODELS = {"gpt": gpt.build, "sundae": sundae.build}

    def train(config: Config, other: Kept) -> None:
        model = build(config)
        return by_another_name(model, STEPS, LABELS)

    def build(config):
        match config.architecture:
            case "gpt":
                return gpt.GPT()
            case "sundae":
                return sundae.Sundae()
            case other:
                raise ValueError(f"unknown: {other}")

    def unused():
        return STEPS
"""


class Package:
    """A package of a few modules that a test may edit."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        path = self.folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def code(self, verb="priors.train", **choices):
        return Code(self.folder).fingerprint(verb, {key: [value] for key, value in choices.items()})

    def changed_by(self, name, text, **choices):
        """The symbols whose hashes an edit changes, or adds, or takes away."""
        before = self.code(**choices)
        self.write(name, text)
        after = self.code(**choices)
        return {key for key in before | after if before.get(key) != after.get(key)}


@pytest.fixture
def package(tmp_path):
    made = Package(tmp_path)
    made.write("__init__", "")
    made.write("priors/__init__", "from twostage.priors.gpt import GPT")
    made.write("priors/train", TRAIN)
    made.write("priors/gpt", "class GPT:\n    def step(self):\n        return rate()\n\ndef rate():\n    return 1\n")
    made.write("priors/sundae", "class Sundae:\n    pass\n\ndef build():\n    return Sundae()\n")
    made.write(
        "runtime/shared", "class Kept:\n    pass\n\ndef helper(*all):\n    return all\n\ndef alone():\n    pass\n"
    )
    made.write("config/schema", "LABELS = 21\nOTHER = 1\n\nclass Config:\n    architecture: str = 'gpt'\n")
    made.write("latents/orders", "def row_major():\n    pass\n")
    return made


def test_what_the_verb_uses_counts_wherever_it_is(package):
    assert set(package.code(architecture="gpt")) == {
        "config.schema:LABELS",
        "priors.gpt:GPT",
        "priors.gpt:rate",
        "priors.train:STEPS",
        "priors.train:build",
        "priors.train:train",
        "runtime.shared:helper",
    }


def test_a_job_of_unknown_choices_counts_every_case(package):
    assert "priors.sundae:Sundae" in package.code()


@pytest.mark.parametrize(
    ("module", "old", "new", "symbol"),
    [
        ("priors/gpt", "return 1", "return 2", "priors.gpt:rate"),
        ("priors/gpt", "return rate()", "return rate() + 1", "priors.gpt:GPT"),
        ("priors/train", "STEPS = 10", "STEPS = 11", "priors.train:STEPS"),
        ("config/schema", "LABELS = 21", "LABELS = 22", "config.schema:LABELS"),
        ("runtime/shared", "return all", "return None", "runtime.shared:helper"),
    ],
)
def test_a_change_of_what_is_used_is_told_by_its_name(package, module, old, new, symbol):
    text = (package.folder / f"{module}.py").read_text()
    assert package.changed_by(module, text.replace(old, new), architecture="gpt") == {symbol}


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("priors/train", "def unused():\n    return STEPS", "def unused():\n    return 2"),
        ("runtime/shared", "def alone():\n    pass", "def alone():\n    return 3"),
        ("config/schema", "OTHER = 1", "OTHER = 2"),
        # Types: a resolved config holds what they would say; an annotation runs nothing.
        ("config/schema", "'gpt'", "'sundae'"),
        ("runtime/shared", "class Kept:\n    pass", "class Kept:\n    size = 2"),
        ("priors/train", "other: Kept", "other: int"),
        ("priors/train", "def build(config):", 'def build(config):\n    """Doc."""\n    # why'),
        # Cases of others, also new ones.
        ("priors/sundae", "class Sundae:\n    pass", "class Sundae:\n    size = 2"),
        ("priors/train", "return sundae.Sundae()", "return sundae.Sundae(2)"),
        ("priors/train", "        case other:", '        case "new":\n            return 1\n        case other:'),
        ("priors/train", "unknown: {other}", "no such architecture: {other}"),
    ],
)
def test_a_change_of_anything_else_is_none(package, module, old, new):
    text = (package.folder / f"{module}.py").read_text()
    assert old in text
    assert package.changed_by(module, text.replace(old, new), architecture="gpt") == set()


def test_the_case_of_the_choice_counts(package):
    text = (package.folder / "priors/train.py").read_text()
    changed = package.changed_by("priors/train", text.replace("gpt.GPT()", "gpt.GPT(2)"), architecture="gpt")
    assert changed == {"priors.train:build"}
    assert "priors.gpt:GPT" not in package.code(architecture="sundae")
    assert "priors.sundae:Sundae" in package.code(architecture="sundae")


@pytest.mark.parametrize(
    ("match", "choice", "runs_a", "runs_b", "runs_rest"),
    [
        ("match config.layout:", "a", True, False, False),
        ("match config.layout:", "c", False, False, True),
        ("match self.config.layout:", "b", False, True, False),
        # A variable may hold the value of another key, and a model's attribute anything.
        ("match layout:", "a", True, True, True),
        ("match model.layout:", "a", True, True, True),
        ("match name(config.layout):", "a", True, True, True),
    ],
)
def test_only_a_match_over_a_value_of_the_config_leaves_cases_out(package, match, choice, runs_a, runs_b, runs_rest):
    package.write(
        "priors/train",
        f"""
        def train(config):
            {match}
                case "a" | "d":
                    return a()
                case "b":
                    return b()
                case _:
                    return rest()
        def a(): pass
        def b(): pass
        def rest(): pass
        """,
    )
    found = package.code(layout=choice)
    assert ("priors.train:a" in found, "priors.train:b" in found) == (runs_a, runs_b)
    assert ("priors.train:rest" in found) == runs_rest


def test_a_case_with_a_guard_leaves_the_next_one_possible(package):
    package.write(
        "priors/train",
        """
        def train(config):
            match config.layout:
                case "a" if config.deep:
                    return deep()
                case _:
                    return rest()
        def deep(): pass
        def rest(): pass
        """,
    )
    assert {"priors.train:deep", "priors.train:rest"} <= set(package.code(layout="a"))
    assert "priors.train:deep" not in package.code(layout="b")


def test_none_is_a_value(package):
    package.write(
        "priors/train",
        """
        def train(config):
            match config.layout:
                case None:
                    return nothing()
                case "a":
                    return a()
        def nothing(): pass
        def a(): pass
        """,
    )
    assert set(package.code(layout=None)) == {"priors.train:train", "priors.train:nothing"}
    assert set(package.code(layout="a")) == {"priors.train:train", "priors.train:a"}


def test_a_dict_of_words_counts_the_entries_that_are_chosen(package):
    text = """
        def train(config):
            return ORDERS[config.ordering](), look_up(config.ordering)
        def look_up(ordering):
            return ORDERS[ordering]
        def rows(): pass
        def snake(): pass
        ORDERS = {"rows": rows, "snake": snake}
    """
    package.write("priors/train", text)
    chosen = package.code(ordering="rows")
    assert {"priors.train:ORDERS[rows]", "priors.train:rows"} <= set(chosen)
    assert "priors.train:snake" not in chosen
    more = text.replace("def snake(): pass", "def snake(): pass\n        def new(): pass")
    more = more.replace('"snake": snake}', '"snake": snake, "new": new}')
    assert package.changed_by("priors/train", more, ordering="rows") == set()
    # Whoever takes the dict as a whole counts all of it.
    package.write("priors/train", text.replace("ORDERS[config.ordering]()", "list(ORDERS)"))
    assert "priors.train:snake" in package.code(ordering="rows")


def test_a_name_is_followed_to_where_it_is_defined(package):
    package.write("priors/train", "from twostage.priors import GPT\ndef train(config):\n    return GPT()\n")
    assert "priors.gpt:GPT" in package.code()
    package.write("priors/train", "import twostage.priors\ndef train(config):\n    return twostage.priors.GPT()\n")
    assert "priors.gpt:GPT" in package.code()
    package.write("priors/train", "from . import gpt\ndef train(config):\n    return gpt.rate()\n")
    assert set(package.code()) == {"priors.train:train", "priors.gpt:rate"}


def test_a_function_may_have_the_name_of_its_module(package):
    package.write("priors/__init__", "from twostage.priors.rate import rate\n")
    package.write("priors/rate", "def rate():\n    return 1\n")
    package.write("priors/train", "from twostage.priors import rate\ndef train(config):\n    return rate()\n")
    assert set(package.code()) == {"priors.train:train", "priors.rate:rate"}


def test_imports_inside_functions_count(package):
    package.write(
        "priors/train",
        "def train(config):\n    def inner():\n        return rate()\n"
        "    from twostage.priors.gpt import rate\n    return inner()\n",
    )
    assert set(package.code()) == {"priors.train:train", "priors.gpt:rate"}


def test_an_import_that_may_fail_counts(package):
    package.write(
        "priors/train",
        "try:\n    from twostage.priors.gpt import rate\nexcept ImportError:\n    rate = None\n"
        "def train(config):\n    return rate()\n",
    )
    assert {"priors.train:train", "priors.train:rate", "priors.gpt:rate"} <= set(package.code())


def test_a_module_as_a_value_counts_whole(package):
    package.write(
        "priors/train", "from twostage.priors import gpt\ndef train(config):\n    return getattr(gpt, 'rate')\n"
    )
    assert {"priors.gpt:GPT", "priors.gpt:rate"} <= set(package.code())


def test_a_variable_hides_what_has_its_name(package):
    package.write(
        "priors/train",
        """
        from twostage.priors.gpt import rate
        from twostage.runtime.shared import alone, helper
        def train(config, rate):
            alone = 1
            return rate, alone, [helper for helper in config]
        """,
    )
    assert set(package.code()) == {"priors.train:train"}
    # Outside of the comprehension the name is the import.
    package.write(
        "priors/train",
        "from twostage.runtime.shared import helper\ndef train(config):\n    return [helper for helper in helper()]\n",
    )
    assert "runtime.shared:helper" in package.code()


def test_what_values_are_only_held_against_counts_by_its_name(package):
    package.write(
        "priors/train",
        """
        from twostage.priors.gpt import GPT
        from twostage.priors.sundae import Sundae
        def train(config):
            match config:
                case GPT():
                    return isinstance(config, int | Sundae)
        """,
    )
    assert set(package.code()) == {"priors.train:train"}


def test_what_an_import_does_counts(package):
    package.write("runtime/shared", "import os\nos.environ.setdefault('A', '1')\ndef helper(*all):\n    return all\n")
    assert "runtime.shared:" in package.code()
    registered = "NAMES = []\ndef register(f):\n    NAMES.append(f)\n    return f\n\n@register\ndef mine(): pass\n"
    package.write("runtime/shared", registered + "def helper(*all):\n    return NAMES\n")
    before = package.code()
    assert package.changed_by(
        "runtime/shared", registered.replace("pass", "return 1") + "def helper(*all):\n    return NAMES\n"
    )
    assert "runtime.shared:register" in before


def test_another_package_under_the_same_name_counts(package):
    text = "from numpy import array\ndef train(config):\n    return array(1)\n"
    package.write("priors/train", text)
    assert package.changed_by("priors/train", text.replace("numpy", "torch")) == {"priors.train:train"}


def test_the_type_that_a_config_is_parsed_into_counts(package):
    text = (
        "from dataclasses import dataclass\nfrom twostage.config.schema import Config\n"
        "@dataclass\nclass Part:\n    size: int = 1\n@dataclass\nclass TrainConfig:\n    part: Part\n    base: Config\n"
        "def train(config: TrainConfig):\n    return config\n"
    )
    package.write("priors/train", text)
    assert set(package.code()) == {"priors.train:Part", "priors.train:TrainConfig", "priors.train:train"}
    assert package.changed_by("priors/train", text.replace("size: int = 1", "size: int = 2")) == {"priors.train:Part"}


def test_tables_that_were_kept_give_the_same(package, tmp_path):
    kept = tmp_path / "kept.json"
    first = Code(package.folder, kept).fingerprint("priors.train", {})
    assert kept.exists()
    assert Code(package.folder, kept).fingerprint("priors.train", {}) == first
    package.write("runtime/shared", "def helper(*all):\n    return None\n")
    after = Code(package.folder, kept).fingerprint("priors.train", {})
    assert after == package.code() != first
    kept.write_text("{")
    assert Code(package.folder, kept).fingerprint("priors.train", {}) == after


def test_an_import_of_everything_is_refused(package):
    package.write("priors/train", "from twostage.priors.gpt import *\ndef train(config):\n    return rate()\n")
    with pytest.raises(ValueError, match=r"twostage\.priors\.train imports \* from twostage\.priors\.gpt"):
        package.code()


def test_an_unknown_verb_is_named(package):
    with pytest.raises(FileNotFoundError, match=r"twostage\.priors\.fly"):
        package.code("priors.fly")


def test_every_python_gives_the_same_hash(package):
    """The hash was taken under Python 3.11; what 3.12 and 3.13 write otherwise stands in this code."""
    package.write(
        "priors/train", "def train(config, form):\n    class A:\n        pass\n    return f'{config:{form}}'\n"
    )
    assert package.code() == {"priors.train:train": "5d263105eff65a93"}
