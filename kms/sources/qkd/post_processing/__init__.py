"""From sifted bits to secret ones: parameter estimation, reconciliation, privacy amplification, authentication.

:mod:`kms.sources.qkd.protocol` runs these steps in their order.
"""
