"""`make s3`: what a run makes whose artifacts lie in a bucket is what this machine makes without one."""

import pytest

from tests.chaos.compare import files
from tests.clone import Clone
from tests.workflow.conftest import rules_of

pytestmark = pytest.mark.s3

PRIOR = "artifacts/smoke/priors/cifar10.vqgan_f4.gpt.seed0/metrics.json"
# A map of its own, and one that is made.
MAPS = [
    f"artifacts/smoke/latents/{name}/metadata.json"
    for name in ("cifar10_animals.edges_f4", "cifar10.low_resolution_f1")
]
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
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
def command(server):
    return (
        "snakemake", "--cores", "2", "--config", "scale=smoke",
        "--default-storage-provider", "s3", "--default-storage-prefix", "s3://lab/twostage",
        "--storage-s3-endpoint-url", server, "--storage-s3-access-key", KEYS["aws_access_key_id"],
        "--storage-s3-secret-key", KEYS["aws_secret_access_key"], "--",
    )  # fmt: skip


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return Clone.of_the_working_tree(tmp_path_factory.mktemp("local"))


def content(bucket):
    """What lies in the bucket under artifacts/, by path."""
    prefix = "twostage/artifacts/"
    kept = [each for each in bucket.objects.filter(Prefix=prefix) if each.key.endswith(CONTENT)]
    return {each.key.removeprefix(prefix): each.get()["Body"].read() for each in kept}


def test_what_lies_in_a_bucket_is_what_lies_on_a_disk(clone, bucket, command, tmp_path):
    clone.ask(*command[:5], "--", PRIOR, *MAPS)
    remote = clone.clone(tmp_path / "remote")
    remote.ask(*command, PRIOR, *MAPS)
    folder = clone.folder / "artifacts"
    kept = [name for name in files(folder) if name.endswith(CONTENT) and not name.endswith(UNREAD)]
    local = {name: (folder / name).read_bytes() for name in kept}
    assert len(local) > 24
    assert content(bucket) == local
    # Nothing is left of it here: what the next job reads comes out of the bucket.
    assert not (remote.folder / PRIOR).exists()
    assert "Nothing to be done" in remote.log_of(*command, PRIOR, *MAPS)
    # A change makes again what it touches, and nothing before that.
    remote.edit("conf/scale/smoke.yaml", "  warmup_steps: 2\n  sweep_steps", "  warmup_steps: 1\n  sweep_steps")
    plan = remote.ask(*command[:-1], "-n", "--", PRIOR)
    assert rules_of(plan) == {"priors_tune", "priors_pace", "priors_train"}


def test_artifacts_of_runs_without_a_bucket_stay(clone, command):
    result = clone.run(*command, PRIOR)
    assert result.returncode != 0
    assert "error: artifacts/ holds files of runs without a storage; start in a fresh clone" in result.stderr
    assert (clone.folder / PRIOR).is_file()
