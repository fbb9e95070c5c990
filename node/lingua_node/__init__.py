"""A translation node: engines behind one interface, the aggregators of a turn, and the agent that serves a scheduler.

Here belongs what turns a job into a result on one machine. What must not be here: the store, and any knowledge of other
nodes or of sessions beyond what a job says.
"""
