"""Fleets: as many equal TranslationNodes as wished, grown at once and shrunk only by draining.

Here belong the pure decisions (``plan``, ``victims``, ``status``, ``demand``) and the rim that carries them out
(``apply``, ``controller``). What must not be here: anything about one node's place in the pools, which is the node's
own reconcile.
"""
