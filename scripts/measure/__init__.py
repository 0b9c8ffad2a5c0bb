"""Measurements on a running system: outage, loss, throughput, isolation, ciphertext on the fibre."""
