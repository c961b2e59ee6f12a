"""A slow and lossy link: holds every UDP packet for a while, and loses some.

Stands behind an NFQUEUE rule of iptables (queue 0); see `run`. Packets that are cut apart by the
kernel only at their receiver (UDP segmentation offload) are queued one by one.

    link.py DELAY_MS LOSS_PERMILLE
"""

import collections
import random
import select
import signal
import sys
import time

from netfilterqueue import COPY_PACKET, NetfilterQueue

PACKETS = 65_535
SOCKET_BYTES = 256 * 1024 * 1024
HEADER_BYTES = 96

delay = float(sys.argv[1]) / 1000
loss = float(sys.argv[2]) / 1000
# The delay is the same for all, so they leave in the order in which they came.
held = collections.deque()
count = {"taken": 0, "lost": 0, "overrun": 0}


def take(packet):
    count["taken"] += 1
    if random.random() < loss:
        count["lost"] += 1
        packet.drop()
        return
    packet.retain()
    held.append((time.monotonic() + delay, packet))


def end(*_):
    print(f"link: {count}", file=sys.stderr)
    sys.exit()


signal.signal(signal.SIGTERM, end)
queue = NetfilterQueue()
queue.bind(0, take, PACKETS, COPY_PACKET, HEADER_BYTES, SOCKET_BYTES)
while True:
    now = time.monotonic()
    while held and held[0][0] <= now:
        held.popleft()[1].accept()
    patience = max(0, held[0][0] - now) if held else 1
    if select.select([queue.get_fd()], [], [], patience)[0]:
        try:
            queue.run(block=False)
        except OSError:
            # More came than could be taken: a run in which this happens measures this script.
            count["overrun"] += 1
