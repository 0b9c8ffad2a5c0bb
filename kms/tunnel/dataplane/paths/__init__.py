"""The loops in user space between a device and a socket: many packets at a time, both ways."""
