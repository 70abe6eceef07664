"""What every test shares."""

import os

# One thread for each test process and what it starts: two workers with two threads each on two cores wait for one
# another, and small tensors gain nothing by a second thread. Before torch is imported, which reads it then.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
