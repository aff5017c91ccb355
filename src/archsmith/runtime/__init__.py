"""Where evaluations run: the worker loop and the processes that host it."""
