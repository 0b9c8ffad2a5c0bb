"""What moves a connection's packets: TUN device and loops in user space, or the kernel's ESP (RFC 4303)."""
