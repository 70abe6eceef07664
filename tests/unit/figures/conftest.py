"""What the tests of figures share."""


def assert_same_files_twice(draw, config, job):
    """Runs a job twice: every promised file and no other, same input same bytes."""
    contents = []
    for _ in range(2):
        draw(config, job)
        contents.append({name: (job.folder / name).read_bytes() for name in job.files})
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(job.files)
    assert contents[0] == contents[1]
