"""The QKD network: chains of its links, and the relay of keys through trusted nodes."""
