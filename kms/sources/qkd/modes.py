"""The words of configurations and requests: protocols, models, attacks. Loads nothing else: commands start fast."""

from __future__ import annotations

from enum import Enum


class Protocol(Enum):
    """What a section's devices speak."""

    BB84 = "bb84"
    COW = "cow"  # coherent one-way; see :mod:`kms.sources.qkd.cow`: not secure


class Model(Enum):
    """How a section's key is made: by every step of the protocol, or from the rate that the protocol would have."""

    FULL = "full"
    RATE = "rate"


class StopReason(Enum):
    """Why a section gives no key, in the operator's words."""

    TOO_MANY_ERRORS = "error rate above the abort threshold"
    WRONG_DECOY_SHARE = "the decoys' share of the detections is not that of the line"
    NO_LIGHT = "no light: the fibre is cut"
    RESTARTING = "its devices are starting again after what stopped them (restart_s)"
    FAULT = "an error of this KMS, told in its log; tried again every few seconds"
    EXTENSION = "its extension failed or was refused, told in the log and by `refusals`; tried again every few seconds"
    NO_AUTHENTICATION_KEY = "no authentication key is left: install new ones by restarting the KMS"


class AttackKind(Enum):
    """What an eavesdropper does; :mod:`kms.sources.qkd.link.attacks` has the physics."""

    INTERCEPT_RESEND = "intercept-resend"
    PHOTON_NUMBER_SPLITTING = "photon-number-splitting"
    BEAM_SPLITTING = "beam-splitting"
