"""The last line of a verb that writes pictures."""

import logging

from twostage.commands.run import name_pictures
from twostage.runtime.job import Job


def test_every_picture_of_a_job_is_named_by_its_path(caplog):
    caplog.set_level(logging.INFO)
    name_pictures(Job("sampling", "generate", "v", "smoke", {}, {}, "artifacts/v", ["samples.npy", "grid.png"]))
    assert caplog.messages == ["artifacts/v/grid.png"]
