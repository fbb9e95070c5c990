"""The scheduler's HTTP face: the API, health, metrics, the dashboard and the document that describes them.

What belongs here: reading requests, writing answers, and the one table of routes. What must not: decisions about jobs,
nodes or sessions; handlers call ``lingua_state`` or the :class:`~lingua_scheduler.http.port.SchedulerPort`.
"""
