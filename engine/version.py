"""The version of the engine and of its API."""

VERSION = "1.0.0"  # pyproject.toml has it too, because a build reads it there
