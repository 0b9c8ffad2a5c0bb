"""``python -m tests.support.forked_agents FOLDER HOST=PID...``: a supervisor whose agents a test may orphan.

It says on a line the fork server's process id and those of the agents, each of which is in the namespace of the process
that is named with its host, and waits to be killed.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from scripts.testbed.life.agents import AgentStarter
from scripts.testbed.processes import wait_ready

if __name__ == "__main__":
    folder, *hosts = sys.argv[1:]
    log = Path(folder, "orphans.log")
    starter = AgentStarter(log)
    server = starter.open()
    wait_ready("fork server", server, log, starter.is_ready, 60.0)
    agents = [
        starter.start(f"tunnel-{name}", Path(folder, f"{name}.json"), Path(folder, f"{name}.log"), int(pid), False)
        for name, pid in (host.split("=") for host in hosts)
    ]
    print(server.pid, *(agent.pid for agent in agents), flush=True)
    signal.pause()
