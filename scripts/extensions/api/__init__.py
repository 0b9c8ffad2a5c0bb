"""What an extension is given and what it answers: frozen values alone, without I/O.

Extensions import these names from here; the modules behind them are not theirs to know.

Units stand in the names: kbit/s (``_kbps``), thousandths of a bit per second (``_millibps``), microseconds (``_us``),
seconds (``_s``). Security levels are ``none``, ``dh``, ``qra`` and ``qkd``, the weakest first (:data:`LEVELS`).
"""

from __future__ import annotations

from scripts.extensions.api.experiments import (
    ConnectionLook,
    Effects,
    Execute,
    FaultAction,
    Impair,
    Inject,
    Lift,
    Mend,
    ProbeSample,
    Say,
    StepAction,
    TimelineEvent,
)
from scripts.extensions.api.healing import (
    Degrade,
    Fallback,
    Impact,
    Move,
    PathView,
    Verdict,
    Wait,
)
from scripts.extensions.api.keys import (
    AttackView,
    Block,
    Forecast,
    LineView,
    SourceAnswer,
    SourceOffer,
)
from scripts.extensions.api.network import (
    LEVELS,
    ChannelView,
    NetworkView,
    QkdLinkView,
    SectionView,
    SiteView,
    WavelengthView,
)
from scripts.extensions.api.plans import (
    ConnectionAsk,
    ConnectionPlan,
    Placement,
    Route,
    SliceAsk,
    SlicePlan,
)
from scripts.extensions.api.suites import (
    SUITE_ICV_BYTES,
    SUITE_NONCE_BYTES,
    SuiteVector,
)

EXTENSION_API = 1
"""An extension says in ``api`` which version of this interface it was written for."""

__all__ = [
    "EXTENSION_API",
    "LEVELS",
    "SUITE_ICV_BYTES",
    "SUITE_NONCE_BYTES",
    "AttackView",
    "Block",
    "ChannelView",
    "ConnectionAsk",
    "ConnectionLook",
    "ConnectionPlan",
    "Degrade",
    "Effects",
    "Execute",
    "Fallback",
    "FaultAction",
    "Forecast",
    "Impact",
    "Impair",
    "Inject",
    "Lift",
    "LineView",
    "Mend",
    "Move",
    "NetworkView",
    "PathView",
    "Placement",
    "ProbeSample",
    "QkdLinkView",
    "Route",
    "Say",
    "SectionView",
    "SiteView",
    "SliceAsk",
    "SlicePlan",
    "SourceAnswer",
    "SourceOffer",
    "StepAction",
    "SuiteVector",
    "TimelineEvent",
    "Verdict",
    "Wait",
    "WavelengthView",
]
