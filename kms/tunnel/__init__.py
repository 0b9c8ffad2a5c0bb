"""The encryption shim on each host: ESP in UDP, keys from the KMS, make-before-break rekeying.

Pure core: :mod:`kms.tunnel.packet` and :mod:`kms.tunnel.protocol`. Adapters: :mod:`kms.tunnel.dataplane`,
:mod:`kms.tunnel.agent` and ``__main__``.
"""
