"""The KMS over mutual TLS: keys per second, latencies, thousands of applications."""
