"""What a person sees when a command asks for more than the machine has."""

import numpy as np
import pytest
import torch

from twostage.commands.console import one_line_errors


@pytest.mark.parametrize("ask", [lambda: np.zeros(2**50), lambda: torch.zeros(2**60)], ids=["NumPy", "torch"])
def test_too_little_memory_is_one_line(ask, caplog):
    with pytest.raises(SystemExit), one_line_errors():
        ask()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("error: not enough memory (")
    assert line.endswith("ask for fewer or smaller images, or for a smaller batch")


def test_another_error_of_torch_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="shape"), one_line_errors():
        torch.zeros(2, 3) @ torch.zeros(2, 3)
