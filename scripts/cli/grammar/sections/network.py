"""The network and its faults: channels, sites, QKD sections, risk groups, eavesdroppers, processes."""

from __future__ import annotations

from scripts.cli.grammar.leaf import Leaf, Needs, Section, argument
from scripts.cli.grammar.values import number, whole

ATTACKS = ("intercept-resend", "photon-number-splitting", "beam-splitting")
DIRECTIONS = ("a-b", "b-a")
DIRECTION = argument("--direction", choices=DIRECTIONS,
                     help="only one direction, named by the channel's ends as `link list` shows them")  # fmt: skip
CHANNEL = argument("id", metavar="ID", names="channel", help="the channel; `link list` has them")
SITE = argument("id", metavar="ID", names="site", help="the site")
QKD_SECTION = argument("id", metavar="SECTION", names="section", help="the QKD section; `keys` has them")
RISK = argument("id", metavar="GROUP", names="risk", help="the risk group, such as a fibre; `risk list` has them")
WAVELENGTH = argument("id", metavar="ID", names="wavelength", help="the wavelength; `topo show` has them")
PROCESS = argument("id", metavar="NAME", names="process", help="kms, controller, tunnel-SITE, kme-SITE or shelf-SITE")
NO_NETWORK = "the network did not do as it was told"

SECTION = Section(
    "Network and faults",
    (
        Leaf(
            "link list", "network.links", "List every channel with its class, state and load.",
            ("link list", "link list --json"), "the controller refused to answer",
            needs=Needs.API, name_of="id",
        ),
        Leaf(
            "link show", "network.links", "Show one channel with its ends, class, state and load.",
            ("link show metro1-core1-ch4", "link show metro1-core1-ch4 --json"), "the controller refused to answer",
            (CHANNEL,), Needs.API, name_of="id",
        ),
        Leaf(
            "link down", "network.faults", "Cut a channel: both ends lose carrier.",
            ("link down metro1-core1-ch4", "link down metro1-core1-ch4 --direction a-b"), NO_NETWORK,
            (CHANNEL, DIRECTION), name_of="id",
        ),
        Leaf(
            "link up", "network.faults", "Repair a channel: lift every fault on it.",
            ("link up metro1-core1-ch4", "link up metro1-core1-ch4 --json"), NO_NETWORK,
            (CHANNEL, DIRECTION), name_of="id",
        ),
        Leaf(
            "link blackhole", "network.faults",
            "Drop every packet of a channel and keep its carrier: a silent failure.",
            ("link blackhole metro1-core1-ch4", "link blackhole metro1-core1-ch4 --direction b-a"), NO_NETWORK,
            (CHANNEL, DIRECTION), name_of="id",
        ),
        Leaf(
            "link impair", "network.faults", "Lose, delay and scatter packets of a channel; `link up` ends it.",
            ("link impair metro1-core1-ch4 --loss 2", "link impair metro1-core1-ch4 --delay 20 --jitter 5"), NO_NETWORK,
            (
                CHANNEL,
                argument("--loss", type=number, default=0.0, metavar="PERCENT", help="packets lost, 0 to 100"),
                argument("--delay", type=number, default=0.0, metavar="MS",
                         help="milliseconds on top of the channel's own"),
                argument("--jitter", type=number, default=0.0, metavar="MS",
                         help="milliseconds by which the delay varies at most, up or down"),
                DIRECTION,
            ),
            name_of="id",
        ),
        Leaf(
            "link flap", "network.faults", "Cut and repair a channel repeatedly.",
            ("link flap metro1-core1-ch4", "link flap metro1-core1-ch4 --times 20 --period 0.5"), NO_NETWORK,
            (
                CHANNEL,
                argument("--times", type=whole, default=5, metavar="N", help="how often (default %(default)s)"),
                argument("--period", type=number, default=1.0, metavar="S",
                         help="seconds from one cut to the next, half of them down (default %(default)s)"),
            ),
            name_of="id",
        ),
        Leaf(
            "site list", "network.sites", "List every site with its tier and its free compute.",
            ("site list", "site list -o name"), "the controller refused to answer",
            aliases=("node list",), needs=Needs.API, name_of="name",
        ),
        Leaf(
            "site show", "network.sites", "Show one site with its channels and QKD sections.",
            ("site show metro1", "site show metro1 --json"), "the controller refused to answer", (SITE,), Needs.API,
            aliases=("node show",), name_of="name",
        ),
        Leaf(
            "site down", "network.faults", "Power a site's switch off: its ports lose carrier, its rules are lost.",
            ("site down agg1", "site down agg1 --json"), NO_NETWORK, (SITE,),
            aliases=("node down",), name_of="id",
        ),
        Leaf(
            "site up", "network.faults", "Power a site's switch on again.",
            ("site up agg1", "site up agg1 --json"), NO_NETWORK, (SITE,), aliases=("node up",), name_of="id",
        ),
        Leaf(
            "section list", "network.sites", "List every QKD section with its state and key rate.",
            ("section list", "section list -o name"), "the controller refused to answer",
            needs=Needs.API, name_of="id",
        ),
        Leaf(
            "section cut", "network.faults", "Cut the fibre of a QKD section: no pulse arrives, no key is made.",
            ("section cut s2", "section cut s2 --json"), NO_NETWORK, (QKD_SECTION,), name_of="id",
        ),
        Leaf(
            "section mend", "network.faults", "Repair the fibre of a QKD section.",
            ("section mend s2", "section mend s2 --json"), NO_NETWORK, (QKD_SECTION,), name_of="id",
        ),
        Leaf(
            "risk list", "network.risks", "List what fails together: fibres and wavelengths, with all that is on them.",
            ("risk list", "risk list -o name"), "never", name_of="id",
        ),
        Leaf(
            "risk down", "network.faults",
            "Cut what fails together: all channels lose carrier, all QKD sections give no key.",
            ("risk down fibre-adastral-cambridge", "risk down ch3 --json"), NO_NETWORK, (RISK,),
            aliases=("fibre cut",), name_of="id",
        ),
        Leaf(
            "risk up", "network.faults", "Repair what was cut together.",
            ("risk up fibre-adastral-cambridge", "risk up ch3 --json"), NO_NETWORK, (RISK,),
            aliases=("fibre mend",), name_of="id",
        ),
        Leaf(
            "wavelength down", "network.faults", "Cut what is between a wavelength's two cards: all its circuits fail.",
            ("wavelength down ch4", "wavelength down ch4 --json"), NO_NETWORK, (WAVELENGTH,), name_of="id",
        ),
        Leaf(
            "wavelength up", "network.faults", "Repair a wavelength.",
            ("wavelength up ch4", "wavelength up ch4 --json"), NO_NETWORK, (WAVELENGTH,), name_of="id",
        ),
        Leaf(
            "eavesdrop start", "network.faults", "Attack the pulses of a QKD section.",
            ("eavesdrop start s2", "eavesdrop start s2 --fraction 0.2 --attack beam-splitting"), NO_NETWORK,
            (
                QKD_SECTION,
                argument("--fraction", type=number, default=1.0, metavar="SHARE",
                         help="share of the pulses that are attacked (default %(default)g)"),
                argument("--attack", choices=ATTACKS, default=ATTACKS[0], help="how (default %(default)s)"),
            ),
            name_of="id",
        ),
        Leaf(
            "eavesdrop stop", "network.faults", "End an attack on a QKD section.",
            ("eavesdrop stop s2", "eavesdrop stop s2 --json"), NO_NETWORK, (QKD_SECTION,), name_of="id",
        ),
        Leaf(
            "process list", "network.faults", "List the run's processes, and which of them run.",
            ("process list", "process list -o name"), "never", name_of="name",
        ),
        Leaf(
            "process kill", "network.faults", "Kill a process of the run (SIGKILL).",
            ("process kill controller", "process kill tunnel-cell1"), "it could not be killed", (PROCESS,),
            aliases=("kill",), name_of="id",
        ),
        Leaf(
            "process restart", "network.faults", "Start a process of the run again.",
            ("process restart controller", "process restart kms"), "it did not come back", (PROCESS,),
            aliases=("restart",), name_of="id",
        ),
        Leaf(
            "fault list", "network.faults", "List the faults that are in force, whichever command made them.",
            ("fault list", "fault list --json"), "never", name_of="target",
        ),
        Leaf(
            "fault clear", "network.faults", "Undo every fault on the named elements, or all faults.",
            ("fault clear metro1-core1-ch4 s2", "fault clear --all"), NO_NETWORK,
            (
                argument("targets", nargs="*", default=[], metavar="NAME", names="fault",
                         help="channels, sites, sections, risk groups, processes (`fault list`)"),
                argument("--all", action="store_true", help="every fault there is"),
            ),
            name_of="target",
        ),
    ),
    {
        "link": "channels: list, show, cut, blackhole, flap and repair them",
        "fault": "what is broken now, whichever command broke it",
        "site": "sites: list, show, power them off and on",
        "node": "the same as `site`",
        "section": "QKD sections: list them, cut and repair their fibre",
        "risk": "what fails together, such as a fibre: list it, cut and repair it",
        "fibre": "the same as `risk down` and `risk up`",
        "wavelength": "cut and repair a wavelength between its cards",
        "eavesdrop": "an eavesdropper on a QKD section",
        "process": "the run's processes: list, kill and restart them",
    },
)  # fmt: skip
