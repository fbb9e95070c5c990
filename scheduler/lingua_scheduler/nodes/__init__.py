"""Translation nodes: their sockets, what they can do, and the jobs that are with them.

Here: everything about one connected node. What must not be here: the choice of a node (``lingua_state``) and decisions
about a job's next attempt (its owner's, ``dispatch``).
"""
