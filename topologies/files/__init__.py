"""Topologies in files: YAML or JSON, compact or full, with the place and the remedy of whatever is wrong in one.

This is the public face of the package; importers name ``topologies.files``, and ``topologies.files.located_yaml`` for
other files that people write.
"""

from topologies.files.loading import catalog_names, load_topology, read_bytes
from topologies.files.parsing import parse_document, parse_text, read_text
from topologies.files.problems import DocumentError, Problem
from topologies.files.remarks import remarks
from topologies.files.scale import DEFAULT_MBPS_PER_GBPS, ScaleError
from topologies.files.schema import json_schema
from topologies.files.writing import to_document, to_json, to_yaml

__all__ = [
    "DEFAULT_MBPS_PER_GBPS",
    "DocumentError",
    "Problem",
    "ScaleError",
    "catalog_names",
    "json_schema",
    "load_topology",
    "parse_document",
    "parse_text",
    "read_bytes",
    "read_text",
    "remarks",
    "to_document",
    "to_json",
    "to_yaml",
]
