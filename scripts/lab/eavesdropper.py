"""Exercise 3: find an eavesdropper by the error rate. Judged by what the KMS simulates and measures."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from scripts.automation.testbed import Testbed
from scripts.errors import DidNotHold
from scripts.lab.exercise import Answers, Exercise, Finding
from scripts.lab.looking import number_in

LEAST, MOST = 0.2, 0.3
"""Of the pulses: little enough that the section stays in service, and enough to be seen."""
TOLERANCE = 0.08
TASK = f"""\
Somebody intercepts and resends a part of the pulses of one QKD section. It is too little to stop the section: no alarm
is raised. Find the section by its error rate (QBER; `qslice keys`, several times), and estimate which share f of the
pulses is intercepted. An intercepted pulse is measured in the wrong basis half of the time, and is then wrong half of
the time: the error rate rises by f/4 above that of a section without an eavesdropper. What `keys` shows is an average
over the last blocks: it takes half a minute to follow.

    sudo qslice lab check 3 section=ID share=F

F is between 0 and 1, and may be wrong by {TOLERANCE}."""
ANSWERS = {"section": "the QKD section that is listened to", "share": "the share of its pulses, 0 to 1"}


def sections_of(testbed: Testbed) -> list[dict[str, Any]]:
    """As the KMS describes them. Raises DidNotHold."""
    found: list[dict[str, Any]] = testbed.system.kms.keys()["sections"]
    return found


def prepare(testbed: Testbed) -> None:
    """An eavesdropper on a section drawn at random. The KMS is told directly, so that no list of faults gives her away.

    Raises DidNotHold where no section is in service.
    """
    stop_all(testbed)
    active = [section["id"] for section in sections_of(testbed) if section["state"] == "active"]
    if not active:
        raise DidNotHold("no QKD section is active: wait some seconds, then start the exercise again")
    draw = random.SystemRandom()
    body = {"attack": "intercept-resend", "fraction": round(draw.uniform(LEAST, MOST), 2)}
    _tell(testbed, "POST", draw.choice(active), body)


def stop_all(testbed: Testbed) -> None:
    for section in sections_of(testbed):
        if section["eavesdropped_fraction"] > 0:
            _tell(testbed, "DELETE", section["id"], None)


def _tell(testbed: Testbed, method: str, section: str, body: dict[str, Any] | None) -> None:
    status, answer = testbed.system.kms.call(method, f"/v1/sections/{quote(section, safe='')}/eavesdrop", body)
    if status not in (200, 204):
        raise DidNotHold(f"the KMS answered {status}: {answer}")


def judge_answer(section: str, share: float, sections: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """The answer against what the KMS says of its sections, by id. Pure."""
    attacked = [name for name, each in sections.items() if each["eavesdropped_fraction"] > 0]
    if not attacked:
        return [Finding("somebody listens", False, "nobody does now; begin with: qslice lab start 3")]
    if section not in sections:
        return [Finding("the section", False, f"there is no QKD section {section!r}")]
    found = sections[section]
    is_right = section in attacked
    qber = "not known" if found["qber"] is None else f"{found['qber']:.2%}"
    return [
        Finding("the section", is_right, f"{section}: QBER {qber}" + ("" if is_right else "; nobody listens there")),
        Finding(
            "the share",
            is_right and abs(found["eavesdropped_fraction"] - share) <= TOLERANCE,
            f"{share:g}" if is_right else "of no pulse of that section",
        ),
    ]


def judge(testbed: Testbed, answers: Answers) -> list[Finding]:
    by_id = {section["id"]: section for section in sections_of(testbed)}
    return judge_answer(answers["section"], number_in(answers, "share"), by_id)


EXERCISE = Exercise(3, "find an eavesdropper by the error rate", TASK, ANSWERS, prepare, judge)
