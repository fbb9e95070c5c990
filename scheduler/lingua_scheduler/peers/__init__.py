"""Sockets between instances: how a job and what is said about it cross from the instance that owns the session to the
one that holds the node, and back. What must not be here: any decision about a job.
"""
