"""A real Slurm of two nodes on this machine: munged, slurmctld and two slurmd. No systemd, no accounting."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

# The srun inside of a job looks nowhere else: the plugin takes SLURM_CONF out of its environment.
CONFIGS = Path("/etc/slurm")
MUNGE_SOCKET = Path("/run/munge/munge.socket.2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "runuser")
NODES = ("node1", "node2")
WAIT_SECONDS = 600

# No cgroups and no plugins that need more than a container has. Two cards of no use, so that jobs may ask for GPUs.
CONF = """\
ClusterName=twostage
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
SlurmctldPort=26817
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=10
KillWait=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=node[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[26821-26822] CPUs=1 RealMemory=8000 Gres=gpu:1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
GRES = """\
NodeName=node1 Name=gpu File=/dev/zero
NodeName=node2 Name=gpu File=/dev/full
"""


def until(seen: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> object:
    """What `seen` returns, as soon as it is true. Fails if that takes too long."""
    end = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)
    return found


def ask(*command: str) -> str:
    """The output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Cluster:
    """Its daemons, each a process that a test may kill."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.daemons = folder, {}

    def start(self, name: str, *command: str) -> None:
        """A daemon in a folder of its own, which is also that of all that it starts for jobs."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        with open(self.folder / f"{name}.out", "ab") as log:
            self.daemons[name] = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)

    def start_controller(self) -> None:
        self.start("controller", "slurmctld", "-D")
        until(lambda: subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0, "slurmctld", 30)

    def start_node(self, name: str) -> None:
        self.start(name, "slurmd", "-D", "-N", name)
        until(lambda: self.state_of(name).startswith(("idle", "mix", "alloc")), name, 60)

    def stop(self, name: str) -> None:
        daemon = self.daemons.pop(name)
        daemon.terminate()
        daemon.wait(30)

    def power_off(self, node: str) -> None:
        """Kills a node with all that it runs."""
        steps = [
            process
            for process in psutil.process_iter(["name", "cwd"])
            if process.info["name"] == "slurmstepd" and process.info["cwd"] == str(self.folder / node)
        ]
        daemon = self.daemons.pop(node)
        lost = [child for step in steps for child in step.children(recursive=True)]
        daemon.kill()
        daemon.wait(30)
        for process in (*steps, *lost):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def state_of(self, node: str) -> str:
        return ask("sinfo", "--noheader", "--nodes", node, "--format", "%t").strip()

    def jobs(self, states: str = "PENDING,RUNNING") -> list[list[str]]:
        """Of each job in these states its number, its state, its node and its GPUs."""
        shown = "JobID:|,State:|,NodeList:|,tres-per-job:"
        lines = ask("squeue", "--noheader", "--states", states, "--Format", shown).splitlines()
        return [line.split("|") for line in lines]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster whose files lie in the folder. Skips where Slurm is not installed or is somebody else's."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{missing[0]} is not installed; as root: apt-get install slurm-wlm munge")
    if psutil.Process().uids().real != 0:
        pytest.skip("only root can start munged and slurmd")
    if (CONFIGS / "slurm.conf").exists():
        pytest.skip(f"{CONFIGS}/slurm.conf exists: this machine has a Slurm of its own")
    host = ask("hostname", "--short").strip()
    cluster = Cluster(folder)
    (folder / "state").mkdir()
    with contextlib.ExitStack() as ended:
        for name, text in (("slurm.conf", CONF.format(host=host, folder=folder)), ("gres.conf", GRES)):
            (CONFIGS / name).write_text(text)
            ended.callback((CONFIGS / name).unlink)
        ended.callback(lambda: [cluster.stop(name) for name in list(cluster.daemons)])
        if not MUNGE_SOCKET.exists():
            MUNGE_SOCKET.parent.mkdir(exist_ok=True)
            shutil.chown(MUNGE_SOCKET.parent, "munge", "munge")
            cluster.start("munged", "runuser", "-u", "munge", "--", "munged", "--foreground")
            until(MUNGE_SOCKET.exists, "munged", 30)
        cluster.start_controller()
        for node in NODES:
            cluster.start_node(node)
        yield cluster
