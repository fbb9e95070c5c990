"""Faults that can be done to a running rig while people talk: each begins, lasts for a time, and is mended.

One interface for the rows that compose them and for the soak::

    hits = await INJECTORS["node_killed"].inject(system, source, hold_s)

``inject`` breaks something, keeps it broken for about ``hold_s`` seconds, mends it, and returns how often the fault
provably happened: a process that was ended, packets that were dropped, replies that were thrown away. 0: there was
nothing to be hit (nobody spoke over the way that was cut). Everything random comes from ``source``. One that could not
do its work fails.

:func:`fitting` lists those that a rig allows: some need the proxy before the store (``rig(through=True)``), some
schedulers that can be cut off (``apart=True`` in a network of its own, as root), some the one server with a disk, some
Sentinels. Two may be done at once unless they have the same ``alone``: nobody can stop and start the one store twice.
Victims are chosen among the processes to which nothing else is being done.
"""

from __future__ import annotations

from kit.injectors import networks, processes, sentinels, stores
from kit.injectors.interface import INJECTORS, Injector, fitting

__all__ = ["INJECTORS", "Injector", "fitting", "networks", "processes", "sentinels", "stores"]
