"""`make slurm`: what Slurm places is what this machine makes, whatever happens to a job, a node or the controller."""

import resource
import shutil
import signal
import subprocess

import psutil
import pytest

from tests.chaos.compare import differences, files
from tests.clone import Clone
from tests.slurm.cluster import Cluster, ask, running, until

pytestmark = pytest.mark.slurm

DATA = "artifacts/smoke/data/cifar10_animals/metadata.json"
TOKENIZER = "artifacts/smoke/tokenizers/cifar10_animals.edges_f4/metrics.json"
# Of one dataset: ready at the same time.
TWO_TOKENIZERS = [f"artifacts/smoke/tokenizers/fashion_mnist.segmentation_{f}/metrics.json" for f in ("f2", "f4")]
# Without accounting sacct has nothing to say. Polls as often as a test needs it.
SLURM = ["snakemake", "--profile", "profiles/slurm", "--slurm-status-command", "squeue",
         "--slurm-init-seconds-before-status-checks", "2", "--config", "scale=smoke", "--"]  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install snakemake-executor-plugin-slurm")
    with running(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def with_data(tmp_path_factory):
    """A clone in which this machine made the data."""
    clone = Clone.of_the_working_tree(tmp_path_factory.mktemp("with_data"))
    clone.ask("snakemake", "--cores", "1", "--config", "scale=smoke", "--", DATA)
    return clone


@pytest.fixture(scope="module")
def local(with_data, tmp_path_factory):
    """A copy of it in which this machine trained the tokenizer."""
    clone = copied(with_data, tmp_path_factory.mktemp("local") / "clone")
    clone.ask("snakemake", "--cores", "1", "--config", "scale=smoke", "--", TOKENIZER)
    return clone


def copied(clone, folder):
    return Clone(shutil.copytree(clone.folder, folder, symlinks=True))


def is_equal(local, other):
    trees = [clone.folder / "artifacts/smoke" for clone in (local, other)]
    assert len(files(trees[0])) > 12
    assert differences(*trees) == []


@pytest.fixture
def run():
    """Starts Snakemake on the login node; its log lies in build/."""
    started = []

    def start(clone, *targets):
        (clone.folder / "build").mkdir(exist_ok=True)
        with open(clone.folder / "build/slurm.txt", "wb") as log:
            started.append(
                subprocess.Popen(
                    [*SLURM, *targets], cwd=clone.folder, env=clone.environment, stdout=log, stderr=log,
                    # Where pytest runs in the background, its children would ignore Ctrl-C.
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                )
            )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def succeeds(process, clone):
    code = process.wait(900)
    assert code == 0, (clone.folder / "build/slurm.txt").read_text()[-4000:]


def trainings(clone):
    """Processes of jobs that train in the clone."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if process.info["cwd"] == str(clone.folder) and words[1:4] == ["-m", "twostage", "tokenizers.train"]:
            found.append(process)
    return found


def test_what_slurm_places_is_what_this_machine_makes(cluster, local, tmp_path, run):
    (tmp_path / "clone").mkdir()
    clone = local.clone(tmp_path / "clone")
    succeeds(run(clone, TOKENIZER), clone)
    is_equal(local, clone)
    assert len(cluster.jobs(states="COMPLETED")) == 2


def cancelled(cluster: Cluster, job: str, node: str) -> None:
    ask("scancel", job)


def out_of_time(cluster: Cluster, job: str, node: str) -> None:
    """It hangs, so that the shortest limit there is, a minute, ends it."""
    ask("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    until(lambda: job in {found for found, *_ in cluster.jobs(states="TIMEOUT")}, "the end of its time")


def without_its_node(cluster: Cluster, job: str, node: str) -> None:
    cluster.power_off(node)
    until(lambda: cluster.state_of(node).startswith("down"), f"the controller to miss {node}", 60)
    cluster.start_node(node)


def without_controller(cluster: Cluster, job: str, node: str) -> None:
    cluster.stop("controller")
    cluster.start_controller()


@pytest.mark.parametrize("fault", [cancelled, out_of_time, without_its_node, without_controller])
def test_a_training_is_recovered(cluster, with_data, local, tmp_path, run, fault):
    clone = copied(with_data, tmp_path / "clone")
    process = run(clone, TOKENIZER)
    (training,) = until(lambda: trainings(clone), "the training")
    ((job, _, node, _),) = cluster.jobs(states="RUNNING")
    # So that it cannot end before the fault.
    training.suspend()
    fault(cluster, job, node)
    if fault is without_controller:
        training.resume()
    succeeds(process, clone)
    is_equal(local, clone)


def test_gpu_jobs_are_submitted_together_and_cancelled_with_their_run(cluster, with_data, tmp_path, run):
    """Of one machine's GPU jobs one would wait for the other."""
    clone = copied(with_data, tmp_path / "clone")
    clone.edit("conf/scale/smoke.yaml", "gpus_per_job: 0", "gpus_per_job: 1")
    process = run(clone, *TWO_TOKENIZERS)
    both = {("RUNNING", "node1", "gres:gpu:1"), ("RUNNING", "node2", "gres:gpu:1")}
    until(lambda: {tuple(job) for _, *job in cluster.jobs()} == both, "two GPU jobs at a time")
    until(lambda: len(trainings(clone)) == 2, "both trainings")
    process.send_signal(signal.SIGINT)
    process.wait(60)
    until(lambda: not cluster.jobs(), "the queue to empty", 60)
    until(lambda: not trainings(clone), "the trainings to end", 60)


def cpu_seconds(folder, environment, snakefile):
    """Of what a job's own Snakemake does on its node before the job begins."""
    target = [
        "--target-jobs",
        "tokenizers_train:variant=cifar10_animals.edges_f4",
        "--allowed-rules",
        "tokenizers_train",
    ]
    command = ["snakemake", "--dry-run", "--snakefile", snakefile, "--cores", "1", "--force", "--nolock", "--no-hooks",
               "--mode", "remote", *target, "--config", "scale=smoke"]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_job_needs_little_time_of_its_node_to_read_the_plan(local, tmp_path):
    """Beside what Snakemake takes with a rule that needs no plan."""
    (tmp_path / "Snakefile").write_text(
        "rule tokenizers_train:\n    output: '{variant}'\n    shell: 'touch {output}'\n"
    )
    own = cpu_seconds(tmp_path, local.environment, "Snakefile")
    assert cpu_seconds(local.folder, local.environment, "Snakefile") - own < 2
