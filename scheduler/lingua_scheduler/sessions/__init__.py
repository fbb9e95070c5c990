"""Client sessions: their sockets, the cutting of speech into utterances, and results in order.

Here: everything about one connected client. Pure decisions are in ``cutter``, ``voice``, ``turns``, ``sequence``,
``order``, ``flow``, ``pace``, ``outbox``, ``receipts``, ``profile``, ``terms``, ``plan`` and ``speech``; ``ear``
listens, ``teller`` speaks, ``session`` puts them together and ``socket`` does the I/O.

What must not be here: the choice of a node, attempts (``dispatch``).
"""
