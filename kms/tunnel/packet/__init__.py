"""Packets and nothing around them: ESP (RFC 4303) in UDP (RFC 3948), cipher suites, segmentation, replay window."""
