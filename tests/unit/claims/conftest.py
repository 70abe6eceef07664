"""Made-up tables in the two forms that results/ has."""

import pytest

from twostage.claims.evidence import Table
from twostage.runtime.artifacts import write_csv, write_json


@pytest.fixture
def long(tmp_path):
    """Writes a long table: (kind, seed) -> value of the quantity nll, with more quantities if given."""

    def write(numbers, name="orderings", scale="laptop", conditions=None, **others):
        about = {"study": name, "row": "IN", "source": "ours"}
        rows = [
            about | {"kind": kind, "seed": seed, "quantity": quantity, "step": "", "value": value}
            for quantity, values in {"nll": numbers, **others}.items()
            for (kind, seed), value in values.items()
        ]
        # Neither of these is ours, or final.
        rows += [rows[0] | {"source": "paper", "value": 99.0}, rows[0] | {"step": 5, "value": 99.0}]
        write_csv(tmp_path / f"{name}_long.csv", rows)
        write_json(tmp_path / f"{name}.provenance.json", {"scale": scale})
        write_json(tmp_path / "evaluation" / name / "metrics.json", {"conditions": conditions} if conditions else {})
        return Table(tmp_path, f"{name}_long")

    return write


@pytest.fixture
def wide(tmp_path):
    """Writes a wide table from its rows."""

    def write(*rows, name="rejection", scale="laptop"):
        write_csv(tmp_path / f"{name}.csv", rows)
        write_json(tmp_path / f"{name}.provenance.json", {"scale": scale})
        return Table(tmp_path, name)

    return write
