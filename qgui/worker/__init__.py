"""The engine in its own process: a command loop and one job thread. No Qt."""
