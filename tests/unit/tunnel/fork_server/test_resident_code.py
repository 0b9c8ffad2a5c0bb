"""Code that is no longer needed leaves memory, and is there again when somebody calls it."""

from __future__ import annotations

import json
import subprocess
import sys

from kms.tunnel.fork_server.resident_code import _unchanged_files

LIBRARY = "sqlite3"
# In a process of its own: what it has used before and after is known.
PROGRAM = f"""
import json, re, sqlite3
from pathlib import Path
from kms.tunnel.fork_server.resident_code import let_go_of_code

def resident_kb():
    mappings = Path("/proc/self/smaps").read_text().split("VmFlags:")
    return sum(int(re.search(r"^Rss: +(\\d+)", m, re.M)[1]) for m in mappings if "{LIBRARY}" in m and "r-xp" in m)

def answer():
    with sqlite3.connect(":memory:") as database:
        return database.execute("with recursive n(i) as (select 1 union select i + 1 from n where i < 99)"
                                " select sum(i), max(hex(i)) from n").fetchone()

first, before = answer(), resident_kb()
let_go_of_code()
after = resident_kb()
print(json.dumps([before, after, first, answer(), resident_kb()]))
"""

SMAPS = """\
00400000-00500000 r-xp 00000000 fe:00 11   /usr/bin/python3.11
Rss:                 100 kB
Anonymous:             0 kB
00500000-00510000 r--p 00100000 fe:00 11   /usr/bin/python3.11
Rss:                  64 kB
Anonymous:             4 kB
00510000-00520000 rw-p 00110000 fe:00 11   /usr/bin/python3.11
Rss:                  64 kB
Anonymous:             0 kB
00600000-00700000 r--p 00000000 00:00 0
Rss:                  64 kB
Anonymous:             0 kB
7f0000000000-7f0000001000 r--p 00000000 fe:00 12   /usr/lib/a library
Rss:                   4 kB
Anonymous:             0 kB
7f0000002000-7f0000003000 r-xs 00000000 fe:00 12   /usr/lib/shared
Rss:                   4 kB
Anonymous:             0 kB
7f0000004000-7f0000005000 r-xp 00000000 00:00 0    [vdso]
Rss:                   4 kB
Anonymous:             0 kB
"""


def test_only_what_the_file_has_word_for_word_is_let_go_of() -> None:
    assert list(_unchanged_files(SMAPS)) == [(0x400000, 0x500000), (0x7F0000000000, 0x7F0000001000)]


def test_code_leaves_memory_and_comes_back_when_it_is_called() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before_kb, after_kb, first, again, used_kb = json.loads(done.stdout)
    assert before_kb > 100
    assert after_kb == 0
    assert again == first
    assert used_kb > 0
