"""The ``lingua`` command: one module per subcommand, and what they share.

What belongs here: reading arguments, showing answers, starting the other programs as processes. What the commands do
with the network is the library's, one folder up.
"""
