"""What Redis holds, and the only way to change it.

Here belong the key names, the records, the Lua scripts and one module of plain async functions per noun. What must not
be here: HTTP, sockets, audio in any form, and any decision that is not about shared state.
"""
