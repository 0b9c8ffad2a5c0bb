"""A slice as a 3GPP ServiceProfile (TS 28.541, 6.3.3; attribute names as in its OpenAPI file, TS28541_SliceNrm.yaml).

Only attributes for which the slice says something are there. Throughput is in kbit/s and latency in ms (6.4.1).
"""

from __future__ import annotations

from typing import Any

from controller.model.request import ConnectionSpec, Role
from controller.model.slice_record import SliceRecord

# The test network of TS 34.108 / ITU-T E.212: country 001, network 01.
TEST_PLMN = {"mcc": "001", "mnc": "01"}


def service_profile(record: SliceRecord) -> dict[str, Any]:
    """The profile that the slice fulfils."""
    request = record.request
    access, control = request.connections[Role.ACCESS], request.connections[Role.CONTROL]
    backhaul = request.connections[Role.BACKHAUL]
    snssai: dict[str, Any] = {"sst": request.snssai.sst}
    if request.snssai.sd is not None:
        snssai["sd"] = request.snssai.sd
    # Every connection is reserved alike in both directions; user traffic from all cells shares the backhaul.
    guaranteed = min(access.bandwidth_kbps * len(request.cells), backhaul.bandwidth_kbps)
    throughput = {"guaThpt": guaranteed, "maxThpt": guaranteed}
    latency_ms = (access.latency_us + backhaul.latency_us) / 1000
    return {
        "serviceProfileId": request.name,
        "plmnInfoList": [{"plmnId": TEST_PLMN, "snssai": snssai}],
        "sst": request.snssai.sst,
        "networkSliceSharingIndicator": "NON-SHARED",
        "coverageAreas": list(request.cells),
        "dLLatency": latency_ms,
        "uLLatency": latency_ms,
        "dLThptPerSlice": throughput,
        "uLThptPerSlice": throughput,
        "n6Protection": {
            "secFuncList": [
                _security_function(role.value, spec)
                for role, spec in ((Role.CONTROL, control), (Role.ACCESS, access), (Role.BACKHAUL, backhaul))
                if spec.security.is_encrypted
            ]
        },
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
