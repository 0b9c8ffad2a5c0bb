"""A toy tunnel for tests: a TUN device joined to a UDP socket, every byte XORed. No security, but no plaintext either.

Arguments: INTERFACE LOCAL PEER UNDERLAY_LOCAL UNDERLAY_PEER PORT SELECTORS(0|1). With selectors only packets between
LOCAL and PEER pass, as in a real tunnel; without them whatever enters one end leaves the other.
"""

import fcntl
import ipaddress
import os
import select
import socket
import struct
import subprocess
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
HEADER = b"\x51\x53\x00\x01" + bytes(4)  # where ESP has its SPI and sequence number
TABLE = bytes(n ^ 0xA7 for n in range(256))


def main() -> None:
    interface, local, peer, underlay_local, underlay_peer, port, selectors = sys.argv[1:]
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", interface.encode(), IFF_TUN | IFF_NO_PI))
    for command in (f"link set {interface} mtu 1400 up", f"addr add {local}/32 dev {interface}"):
        subprocess.run(["ip", *command.split()], check=True)
    subprocess.run(["ip", "route", "add", f"{peer}/32", "dev", interface, "src", local], check=True)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((underlay_local, int(port)))
    there = ipaddress.IPv4Address(local).packed + ipaddress.IPv4Address(peer).packed
    back = there[4:] + there[:4]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        readable, _, _ = select.select([tun, sock.fileno()], [], [])
        if tun in readable:
            packet = os.read(tun, 2048)
            if packet[0] >> 4 == 4 and (selectors == "0" or packet[12:20] == there):
                sock.sendto(HEADER + packet.translate(TABLE), (underlay_peer, int(port)))
        if sock.fileno() in readable:
            packet = sock.recv(2048)[len(HEADER) :].translate(TABLE)
            if selectors == "0" or packet[12:20] == back:
                os.write(tun, packet)


if __name__ == "__main__":
    main()
