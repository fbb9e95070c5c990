"""The Kubernetes operator of Lingua.

Here belong the kopf handlers, the pure reconcile step and the one Kubernetes client. What must not be here: any import
of the scheduler or the node, and any write to Redis that is not a script of ``lingua_state``.
"""

__version__ = "0.1.0"
