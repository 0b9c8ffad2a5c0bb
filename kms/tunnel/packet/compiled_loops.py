"""The two loops over every octet, compiled by numba: cutting super-packets into segments, and joining packets again.

Each goes over its octets once. NumPy's calls, each over all octets, went over them six times, and with their overhead
took as long as the encryption (docs/decisions/0014). Pure functions of arrays, without bounds checks:
:mod:`kms.tunnel.packet.segmentation` answers for the sizes, and nothing that a packet says of itself is believed before
it has been held against the packet's length.

The machine code is kept in ``__pycache__`` beside this file; set-up has it made, which takes some ten seconds. It holds
the constants of other modules as they were: where one of those changes, so must this file.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kms.tunnel.packet.checksum import MODULUS
from kms.tunnel.packet.virtio_header import GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, VNET_BYTES

MAX_PACKET_BYTES = 65535
MAX_UDP_SEGMENTS = 64  # that Linux takes for one (linux/udp.h, UDP_MAX_SEGMENTS, before it was raised to 128)

TCP, UDP = 6, 17
FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80
_FLAGS = 13  # where they stand in a TCP header
_LEAST_BYTES = 28  # of IPv4 and UDP


def _same(l4, free):
    """Ones where consecutive packets of a stream have the same octets. Not so at ``free``: there is what counts up."""
    mask = np.full(l4 + 60, 0xFF, np.uint8)
    mask[sorted(free)] = 0
    return mask


# IPv4's identifiers have no meaning with DF (RFC 6864), nor has the checksum over them when both have been verified.
# PSH is no mark of a boundary (RFC 9293, 3.9.1.2).
_IPV4_FREE = {4, 5, 10, 11}
_TCP_FREE = {4, 5, 6, 7, 13, 16, 17}
_SAME_TCP4 = _same(20, _IPV4_FREE | {20 + n for n in _TCP_FREE})
_SAME_TCP6 = _same(40, {40 + n for n in _TCP_FREE})
_SAME_UDP4 = _same(20, _IPV4_FREE | {26, 27})
_SAME_UDP6 = _same(40, {46, 47})


@njit(cache=True)
def _word_sum(octets, start, stop):
    """Modulo 65535 the sum of 16-bit words, read little-endian (see :mod:`kms.tunnel.packet.checksum`).

    Two at a time, for 65536 is 1.
    """
    words = octets[start : start + ((stop - start) & ~3)].view(np.uint32)
    total = np.uint64(0)
    for n in range(words.size):
        total += words[n]
    rest = start + 4 * words.size
    if rest + 1 < stop:
        total += np.uint64(octets[rest]) | np.uint64(octets[rest + 1]) << np.uint64(8)
        rest += 2
    if rest < stop:
        total += octets[rest]
    return np.int64(total % np.uint64(MODULUS))


@njit(cache=True)
def _header_sum(octets, at, count):
    """The same sum of an even number of octets, so few that words would not pay."""
    few = octets[at : at + count]
    total = np.int64(0)
    for n in range(0, count, 2):
        total += np.int64(few[n]) | np.int64(few[n + 1]) << 8
    return total % MODULUS


@njit(cache=True)
def _copy(out, to, octets, at, count):
    # Written out, and over slices: only so do vector instructions come of it.
    target, source = out[to : to + count], octets[at : at + count]
    for n in range(target.size):
        target[n] = source[n]


@njit(cache=True)
def _get16(octets, at):
    return np.int64(octets[at]) << 8 | np.int64(octets[at + 1])


@njit(cache=True)
def _get32(octets, at):
    return _get16(octets, at) << 16 | _get16(octets, at + 2)


@njit(cache=True)
def _put16(octets, at, value):
    octets[at] = (value >> 8) & 0xFF
    octets[at + 1] = value & 0xFF


@njit(cache=True)
def _put_little(octets, at, value):
    octets[at] = value & 0xFF
    octets[at + 1] = value >> 8


@njit(cache=True)
def _swapped(value):
    """A 16-bit field's value as the little-endian word that its octets are."""
    return (value & 0xFF) << 8 | value >> 8


@njit(
    "void(uint8[::1], int64, int64, int64, int64, boolean, boolean, int64, int64, int64, int64, int64, uint8[::1],"
    " int64, int64, int64)",
    cache=True,
)
def cut(
    source, at, step, packets, packet_bytes, is_v4, is_tcp, l4, end, checksum_at, size, first, out, to, out_step, count
):
    """Write ``count`` segments of each of some super-packets, from number ``first`` on, with ``size`` octets of data.

    The super-packets, as many as ``packets``, have ``packet_bytes`` octets and stand in ``source`` from ``at`` on,
    ``step`` apart; their transport headers begin ``l4`` octets into them, their data ``end``. The segments are written
    to ``out`` from ``to`` on, ``out_step`` apart.
    """
    for head in range(at, at + packets * step, step):
        flags = source[head + l4 + _FLAGS] if is_tcp else np.uint8(0)
        sequence = _get32(source, head + l4 + 4) if is_tcp else np.int64(0)
        # Here stands the pseudo-header's part, for all the data (virtio 1.2, 5.1.6.2): of the addresses that count,
        # which under a routing header are not those of the packet (RFC 8200, 8.1). Only the length is another one.
        pseudo = _swapped(_get16(source, head + checksum_at)) + MODULUS - _swapped(packet_bytes - l4) % MODULUS
        for n in range(first, first + count):
            start = end + n * size
            stop = min(packet_bytes, start + size)
            length = end + stop - start
            _copy(out, to, source, head, end)
            _copy(out, to + end, source, head + start, stop - start)
            if is_v4:
                _put16(out, to + 2, length)
                _put16(out, to + 4, _get16(source, head + 4) + n)
                _put16(out, to + 10, 0)
                _put_little(out, to + 10, MODULUS - _header_sum(out, to, l4))
            else:
                _put16(out, to + 4, length - 40)
            if is_tcp:
                _put16(out, to + l4 + 4, (sequence + n * size) >> 16)
                _put16(out, to + l4 + 6, sequence + n * size)
                # RFC 9293: data end with the last segment; RFC 3168: the window reduction is told once.
                untold = (0 if stop == packet_bytes else FIN | PSH) | (0 if n == 0 else CWR)
                out[to + l4 + _FLAGS] = flags & (0xFF ^ untold)
            else:
                _put16(out, to + l4 + 4, length - l4)
            _put16(out, to + checksum_at, 0)
            total = (_word_sum(out, to + l4, to + length) + pseudo + _swapped(length - l4)) % MODULUS
            _put_little(out, to + checksum_at, MODULUS - total)
            to += out_step


@njit(cache=True)
def _data_at(octets, at, length, udp):
    """Where the data of a packet begin that may be part of a stream; 0 of all others. Such are TCP's, and with ``udp``
    UDP's, in IPv4 without options or IPv6 without extensions: no fragment, nothing but data, valid checksums."""
    if length < _LEAST_BYTES:
        return 0
    version = octets[at] >> 4
    if version == 4:
        if octets[at] != 0x45 or _get16(octets, at + 2) != length or octets[at + 6] & 0xBF or octets[at + 7]:
            return 0
        if _header_sum(octets, at, 20):
            return 0
        l4, protocol, pseudo = 20, octets[at + 9], _header_sum(octets, at + 12, 8)
    elif version == 6:
        if _get16(octets, at + 4) + 40 != length:
            return 0
        l4, protocol, pseudo = 40, octets[at + 6], _header_sum(octets, at + 8, 32)
    else:
        return 0
    place = at + l4
    if protocol == TCP and l4 + 20 < length:
        end = l4 + (np.int64(octets[place + 12]) >> 4) * 4
        # SYN, FIN, RST, URG: each a matter of its own
        if end < l4 + 20 or octets[place + _FLAGS] | PSH != ACK | PSH:
            return 0
    elif protocol == UDP and udp and l4 + 8 < length:
        end = np.int64(l4 + 8)
        if _get16(octets, place + 4) != length - l4 or _get16(octets, place + 6) == 0:
            return 0
    else:
        return 0
    if end >= length:
        return 0
    pseudo += _swapped(np.int64(protocol)) + _swapped(length - l4)
    return 0 if (_word_sum(octets, place, at + length) + pseudo) % MODULUS else end


@njit(cache=True)
def _l4(octets, at):
    return 20 if octets[at] >> 4 == 4 else 40


@njit(cache=True)
def _is_tcp(octets, at):
    return octets[at + (9 if octets[at] >> 4 == 4 else 6)] == TCP


@njit(cache=True)
def _continues(octets, at, before, end, size):
    """Whether the packet at ``at`` has the same headers as the one ``before``, but for what counts up. Both are such as
    :func:`_data_at` knows, with ``size`` octets of data from ``end`` on."""
    l4, is_tcp = _l4(octets, at), _is_tcp(octets, at)
    same4, same6 = (_SAME_TCP4, _SAME_TCP6) if is_tcp else (_SAME_UDP4, _SAME_UDP6)
    same = same4 if l4 == 20 else same6
    mine, its = octets[at : at + end], octets[before : before + end]
    differ = np.uint8(0)
    for n in range(end):
        differ |= (mine[n] ^ its[n]) & same[n]
    if differ or not is_tcp:
        return differ == 0
    return (_get32(octets, at + l4 + 4) - _get32(octets, before + l4 + 4) - size) & 0xFFFFFFFF == 0


@njit(cache=True)
def _finish(out, start, end, size, count, last_flags):
    """Make what stands at ``start`` the virtio header and the headers of what ``count`` packets are together."""
    at = start + VNET_BYTES
    l4, is_tcp, total = _l4(out, at), _is_tcp(out, at), end + count * size
    if l4 == 20:
        _put16(out, at + 2, total)
        _put16(out, at + 10, 0)
        _put_little(out, at + 10, MODULUS - _header_sum(out, at, 20))
        pseudo = _header_sum(out, at + 12, 8)
    else:
        _put16(out, at + 4, total - 40)
        pseudo = _header_sum(out, at + 8, 32)
    if is_tcp:
        out[at + l4 + _FLAGS] = last_flags
        kind, field = GSO_TCPV4 if l4 == 20 else GSO_TCPV6, 16
    else:
        _put16(out, at + l4 + 4, total - l4)
        kind, field = GSO_UDP_L4, 6
    # The checksum is left to whoever needs it: here stands the pseudo-header's part of it.
    pseudo += _swapped(TCP if is_tcp else UDP) + _swapped(total - l4)
    _put_little(out, at + l4 + field, pseudo % MODULUS)
    out[start] = NEEDS_CSUM
    out[start + 1] = kind
    for n, value in enumerate((end, size, l4, field)):
        _put_little(out, start + 2 + 2 * n, value)


@njit("int64(uint8[:, ::1], int64, boolean, uint8[::1], int64[:, ::1])", cache=True)
def join(rows, length, udp, out, table):
    """Write what a TUN device takes for the packets that are the first ``length`` octets of ``rows``: those together
    that are consecutive ones of a stream, and no more than one may have; each behind its virtio header.

    Of each the ``table`` has where it starts and stops in ``out``, and how many packets it is. Returns how many.
    """
    octets, step = rows.reshape(-1), rows.shape[1]
    found, to, start, end, count = 0, 0, 0, 0, 0
    for at in range(0, rows.shape[0] * step, step):
        its_end = _data_at(octets, at, length, udp)
        size = length - end
        if (
            end
            and its_end == end
            and to + size - start <= VNET_BYTES + MAX_PACKET_BYTES
            and (count < MAX_UDP_SEGMENTS or _is_tcp(octets, at))
            and _continues(octets, at, at - step, end, size)
        ):
            _copy(out, to, octets, at + end, size)
            to += size
            count += 1
        else:
            if count > 1:
                _finish(out, start, end, size, count, octets[at - step + _l4(octets, at - step) + _FLAGS])
            start, end, count = to, its_end, 1
            found += 1
            out[to : to + VNET_BYTES] = 0
            _copy(out, to + VNET_BYTES, octets, at, length)
            to += VNET_BYTES + length
        table[found - 1, 0], table[found - 1, 1], table[found - 1, 2] = start, to, count
    if count > 1:
        last = (rows.shape[0] - 1) * step
        _finish(out, start, end, length - end, count, octets[last + _l4(octets, last) + _FLAGS])
    return found
