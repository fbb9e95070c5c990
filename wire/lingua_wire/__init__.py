"""What Lingua's programs say to each other: messages, binary frames, audio containers, ids, limits and codes.

Here belong plain values and the code that reads and writes them. What must not be here: sockets, the store, sound
libraries, and any decision about a session, a job or a node.
"""
