"""A slice in the words of other standards. Pure: from what the controller keeps to plain JSON values."""

from controller.northbound.export.ietf import ietf_slice_service
from controller.northbound.export.threegpp import service_profile

__all__ = ["ietf_slice_service", "service_profile"]
