"""A slice as a 3GPP ServiceProfile (TS 28.541, 6.3.3; attribute names as in its OpenAPI file, TS28541_SliceNrm.yaml).

Only attributes for which the slice says something are there: of cells, and of what goes up and down between them and
the core, only a slice of the papers' template does. Throughput is in kbit/s and latency in ms (6.4.1).
"""

from __future__ import annotations

from typing import Any

from controller.model.request import ConnectionSpec, Role, ThreeRoles
from controller.model.slice_record import SliceRecord

# The test network of TS 34.108 / ITU-T E.212: country 001, network 01.
TEST_PLMN = {"mcc": "001", "mnc": "01"}


def service_profile(record: SliceRecord) -> dict[str, Any]:
    """The profile that the slice fulfils."""
    request = record.request
    snssai: dict[str, Any] = {"sst": request.snssai.sst}
    if request.snssai.sd is not None:
        snssai["sd"] = request.snssai.sd
    return {
        "serviceProfileId": request.name,
        "plmnInfoList": [{"plmnId": TEST_PLMN, "snssai": snssai}],
        "sst": request.snssai.sst,
        "networkSliceSharingIndicator": "NON-SHARED",
        **(_user_plane(request.shape) if isinstance(request.shape, ThreeRoles) else {}),
        "n6Protection": {
            "secFuncList": [
                _security_function(key, spec) for key, spec in request.specs.items() if spec.security.is_encrypted
            ]
        },
    }


def _user_plane(shape: ThreeRoles) -> dict[str, Any]:
    access, backhaul = shape.by_role[Role.ACCESS], shape.by_role[Role.BACKHAUL]
    # User traffic from all cells shares the backhaul; up is from cell to core.
    up, down = (
        min(rate * len(shape.cells), shared)
        for rate, shared in zip(access.rates_kbps, backhaul.rates_kbps, strict=True)
    )
    latency_ms = (access.latency_us + backhaul.latency_us) / 1000
    return {
        "coverageAreas": list(shape.cells),
        "dLLatency": latency_ms,
        "uLLatency": latency_ms,
        "dLThptPerSlice": {"guaThpt": down, "maxThpt": down},
        "uLThptPerSlice": {"guaThpt": up, "maxThpt": up},
    }


def _security_function(name: str, spec: ConnectionSpec) -> dict[str, Any]:
    return {
        "secFunId": name,
        "secFunType": "encryption",
        "secRules": [
            f"cipher={spec.suite.upper()}",
            f"key-source={spec.security.key_source}",
            f"match={spec.security.match.value}",
            f"rekey-s={spec.rekey_s:g}",
        ],
    }
