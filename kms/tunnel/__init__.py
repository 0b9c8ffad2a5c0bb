"""The encryption shim on each host: ESP in UDP, keys from the KMS, make-before-break rekeying.

Pure core: esp, replay, keymat, control, selector, states, sa, effects, initiator, responder, session.
Adapters: tun, addressing, keylog, runner, agent, control_server, __main__.
"""
