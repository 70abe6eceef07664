"""What every test shares."""

import pytest
import torch


@pytest.fixture(autouse=True)
def restore_global_settings():
    """Training switches denormal numbers off and determinism on for the whole process; the next test starts afresh.

    So does torch's generator: what a test sees does not depend on those that ran before it.
    """
    torch.manual_seed(0)
    yield
    torch.set_flush_denormal(False)
    torch.set_deterministic_debug_mode("default")
