"""`make s3`: what a run makes whose artifacts lie in a bucket is what this machine makes without one."""

import pytest

from tests.chaos.compare import files
from tests.clone import Clone
from tests.workflow.conftest import rules_of

pytestmark = pytest.mark.s3

KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
STUDY = """name: one
title: One prior
rows: {IN: {stand_in: {data: cifar10, tokenizers: vqgan_f4}, paper: {data: imagenet, tokenizers: vqgan_f16}}}
fixed: {priors: gpt}
vary: {priors.ordering: [row_major]}
seeds: [0]
measure: [nll]
table: {show: [nll]}
figures: []
"""
TABLE = "results/one.csv"
# Of a dataset's own map, and of one that is made.
MAPS = [
    f"artifacts/smoke/latents/{name}/metadata.json"
    for name in ("cifar10_animals.edges_f4", "cifar10.low_resolution_f1")
]
# Of equal models; records and metrics tell of times.
CONTENT = (".npy", ".safetensors")
UNREAD = "discriminator.safetensors"  # no job reads it, and no rule names it


@pytest.fixture(scope="module")
def server():
    """The address of a local S3."""
    moto = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
    pytest.importorskip("snakemake_storage_plugin_s3", reason="pip install snakemake-storage-plugin-s3")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(scope="module")
def bucket(server):
    boto3 = pytest.importorskip("boto3", reason="pip install snakemake-storage-plugin-s3")
    found = boto3.resource("s3", endpoint_url=server, **KEYS).Bucket("lab")
    found.create()
    return found


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """What is asked for, on the disk of the clone."""
    study = tmp_path_factory.mktemp("study") / "one.yaml"
    study.write_text(STUDY)
    return ["snakemake", "--cores", "2", "--config", "scale=smoke", f"study={study}"]


@pytest.fixture(scope="module")
def storage(server):
    """The same in the bucket, with the command."""
    return [
        "--default-storage-provider", "s3", "--default-storage-prefix", "s3://lab/twostage",
        "--storage-s3-endpoint-url", server, "--storage-s3-access-key", KEYS["aws_access_key_id"],
        "--storage-s3-secret-key", KEYS["aws_secret_access_key"],
    ]  # fmt: skip


@pytest.fixture(scope="module")
def clone(tmp_path_factory, command):
    """A clone in which this machine made all that is asked for."""
    found = Clone.of_the_working_tree(tmp_path_factory.mktemp("local"))
    found.ask(*command, "--", TABLE, *MAPS)
    return found


def content(bucket):
    """What lies in the bucket under artifacts/, by path."""
    prefix = "twostage/artifacts/"
    kept = [each for each in bucket.objects.filter(Prefix=prefix) if each.key.endswith(CONTENT)]
    return {each.key.removeprefix(prefix): each.get()["Body"].read() for each in kept}


def test_what_lies_in_a_bucket_is_what_lies_on_a_disk(clone, bucket, command, storage, tmp_path):
    remote = clone.clone(tmp_path / "remote")
    remote.ask(*command, *storage, "--", TABLE, *MAPS)
    folder = clone.folder / "artifacts"
    kept = [name for name in files(folder) if name.endswith(CONTENT) and not name.endswith(UNREAD)]
    local = {name: (folder / name).read_bytes() for name in kept}
    assert len(local) > 24
    assert content(bucket) == local
    assert bucket.Object(f"twostage/{TABLE}").get()["Body"].read() == (clone.folder / TABLE).read_bytes()
    # Nothing is left of it here: what the next job reads comes out of the bucket.
    assert not (remote.folder / TABLE).exists()
    assert not list((remote.folder / "artifacts").rglob("model.safetensors"))
    assert "Nothing to be done" in remote.log_of(*command, *storage, "--", TABLE, *MAPS)
    # A change makes again what it touches, and nothing before that.
    remote.edit("conf/scale/smoke.yaml", "  warmup_steps: 2\n  sweep_steps", "  warmup_steps: 1\n  sweep_steps")
    planned = rules_of(remote.ask(*command, *storage, "-n", "--", TABLE))
    assert {"priors_tune", "priors_train", "results_one"} <= planned
    assert not any(name.startswith(("data", "weights", "tokenizers", "latents")) for name in planned)


def test_runs_with_and_without_a_bucket_do_not_mix(clone, bucket, command, storage):
    result = clone.run(*command, *storage, "--", TABLE)
    assert result.returncode != 0
    assert "error: artifacts/ holds files of runs without a storage; start in a fresh clone" in result.stderr
    assert (clone.folder / TABLE).is_file()
