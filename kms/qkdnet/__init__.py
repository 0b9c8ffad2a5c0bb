"""The QKD network: ways over its links, and the relay of keys through trusted nodes."""
