"""Where things are: what outlives a run in the checkout, what belongs to one run under /run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kms.own_directory import OwnDirectory

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """``state`` outlives runs (certificates, database, logs), ``run`` is one run's sockets and record."""

    state: Path = REPOSITORY / ".state"
    run: Path = Path("/run/qslice")

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def switch_certificate(self) -> Path:
        """The folder of what Open vSwitch shows for all bridges; by its last two names a dead run's is recognised."""
        return self.pki / "switches"

    @property
    def token(self) -> Path:
        return self.state / "token"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def device_keys(self) -> Path:
        """SSH keys of the devices and of the controller layer, where slices are set up one device after the other."""
        return self.state / "devices"

    @property
    def layer_token(self) -> Path:
        """The controller layer's."""
        return self.state / "layer-token"

    @property
    def record(self) -> Path:
        """What the run made: how the next command finds it and how a clean-up knows what is ours."""
        return self.run / "run.json"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def kms_state(self) -> Path:
        """Keys and slices belong to a run: they survive its processes, not its network."""
        return self.run / "kms"

    @property
    def database(self) -> Path:
        return self.run / "controller.sqlite"

    @property
    def kms_socket(self) -> Path:
        return self.run / "kms.sock"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor.sock"

    @property
    def faults(self) -> Path:
        """The faults that are on the network now."""
        return self.run / "faults.json"

    @property
    def faults_lock(self) -> Path:
        return self.run / "faults.lock"

    @property
    def names(self) -> Path:
        """Names of what runs, for shells to complete with: the one file of a run that anybody may read."""
        return self.run.with_name(f"{self.run.name}.names")

    @property
    def hosts_files(self) -> Path:
        """The names that each host knows its slices' connections by, one file a host."""
        return self.run / "hosts"

    def hosts_file(self, site: str) -> Path:
        return self.hosts_files / site

    def of_a_run(self) -> list[Path]:
        """What is there now of all that a run puts into its folder: the lock alone outlives it."""
        patterns = ("*.json", ".*.json.*", "*.sock", f"{self.database.name}*", self.faults_lock.name)
        found = [path for pattern in patterns for path in self.run.glob(pattern) if not path.is_dir()]
        folders = [path for path in (self.kms_state, self.hosts_files) if path.is_dir()]
        return [*found, *folders, *(path for path in (self.names,) if path.exists())]

    def tunnel_socket(self, site: str) -> Path:
        return self.run / f"tunnel-{site}.sock"

    def shelf_socket(self, site: str) -> Path:
        return self.run / f"shelf-{site}.sock"

    def kme_door(self, site: str) -> Path:
        """Where the site's agent reaches its vendor's KME."""
        return self.run / f"vendor-{site}.sock"

    def config(self, name: str) -> Path:
        return self.run / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def make(self) -> None:
        """Create the directories, for root's eyes only."""
        for directory in (self.state, self.logs, self.pki, self.run):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    with OwnDirectory.make(path.parent) as folder:
        folder.write(path.name, text.encode(), 0o600)
