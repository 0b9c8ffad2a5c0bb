"""This installation: set-up, what the machine can do, tests, version."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Leaf, Needs, Section, argument
from scripts.cli.grammar.values import count, seconds

SECTION = Section(
    "This installation",
    (
        Leaf(
            "setup", "installation.doctor", "Make this machine ready, then show what it can do.",
            ("setup", "setup --from qslice-bundle.tar"), "never; status 3 where something required is missing",
            (
                argument("--bundle", type=Path, metavar="FILE", names="file",
                         help="also make an archive of all packages, for machines without a network"),
                argument("--from", type=Path, metavar="FILE", names="file", dest="bundle_from",
                         help="take the packages from such an archive, and nothing from a network"),
                argument("--liboqs", action="store_true",
                         help="also build the C library liboqs from its source on the internet: then post-quantum keys "
                              "come from NTRU"),
            ),
        ),
        Leaf(
            "doctor", "installation.doctor",
            "Show what this machine can do, and what is done instead of what it cannot.",
            ("doctor", "doctor --json"), "never; status 3 where something required is missing",
        ),
        Leaf(
            "extension list", "installation.extension",
            "List what can be extended, and the extensions that are shipped or installed.",
            ("extension list", "extension list --json"), "never", needs=Needs.PYTHON, name_of="name",
        ),
        Leaf(
            "extension check", "installation.extension",
            "Try on an extension, without a network, everything that one of its kind must do.",
            ("extension check pce=yen", "extension check healing=./mine.py:MyPolicy"),
            "it does something that it must not; the report says what",
            (
                argument("use", metavar="KIND=TARGET", names="extension",
                         help="KIND=MODULE:NAME, KIND=./file.py:NAME, or a short name of `extension list`"),
                argument("--deadline", type=seconds, metavar="S",
                         help="how long an answer may take (default: that of its kind)"),
            ),
            needs=Needs.PYTHON,
        ),
        Leaf(
            "test", None, "Run lint and the tests; other arguments go to pytest.",
            ("test --fast", "test -k replay"), "a complaint or a failed test",
            (
                argument("--fast", action="store_true", help="without slow tests and those that need root"),
                argument("--part", choices=("networks", "rest"),
                         help="one of the two that otherwise run beside each other: tests that make networks, or the "
                              "rest"),
                argument("--lanes", type=count, metavar="N",
                         help="how many tests make networks at the same time, each on a machine of its own "
                              "(default: 3)"),
                argument("--vm", action="store_true",
                         help="the tests that need Debian 12's kernel, in a guest (QEMU)"),
                argument("--offline", action="store_true",
                         help="a bare machine without a network, set up from an archive (setup --bundle)"),
                argument("--long", action="store_true", help="half an hour under load, in which no process may grow"),
                argument("--junitxml", type=Path, metavar="FILE", names="file", help="a JUnit report of the tests"),
                argument("-k", metavar="EXPR", dest="expression", help="only tests whose names match"),
            ),
            passes_on=True,
        ),
        Leaf(
            "completion", "installation.completion", "Print the script with which a shell completes command lines.",
            ("completion bash > /etc/bash_completion.d/qslice",
             "completion zsh > /usr/local/share/zsh/site-functions/_qslice"),
            "never", (argument("shell", choices=("bash", "zsh"), metavar="SHELL", help="bash or zsh"),),
            Needs.NOTHING,
        ),
        Leaf(
            "config show", "installation.config", "Show every setting, its value and where that comes from.",
            ("config show kms.limits", "config show --config my.yaml --json"), "never",
            (
                argument("section", nargs="?", metavar="SECTION", help="only what begins so, such as kms.limits"),
                argument("--running", action="store_true", help="of the network that is up, not of the next command"),
            ),
            needs=Needs.PYTHON,
        ),
        Leaf(
            "config validate", "installation.config", "List all that is wrong with a configuration file, by line.",
            ("config validate my.yaml", "config validate my.yaml --json"), "never; status 2 where something is wrong",
            (argument("file", nargs="?", metavar="FILE", names="file", help="default: that of --config"),),
            needs=Needs.PYTHON,
        ),
        Leaf(
            "config schema", "installation.config", "Print the JSON Schema of the configuration file.",
            ("config schema", "config schema --json"), "never", needs=Needs.PYTHON,
        ),
        Leaf(
            "version", "installation.version", "Print the version and the commit.",
            ("version", "version --json"), "never", needs=Needs.NOTHING,
        ),
    ),
    {
        "config": "settings: what is in force, what is wrong with a file",
        "extension": "other people's code in the place of ours",
    },
)  # fmt: skip
