"""The scheduler: takes sessions and nodes, cuts speech into utterances, gives each to a node, brings the result back.

Rooms: ``sessions/`` (clients), ``nodes/`` (translation nodes), ``peers/`` (other instances), ``http/`` (everything that
is no socket), ``dispatch`` (jobs this instance owns), and one short file for each background duty. What must not be
here: names of Redis keys (``lingua_state``), models of messages (``lingua_wire``), decoding of sound (nodes).
"""

__version__ = "0.1.0"
