"""`python -m ridurre`: the command, where its script is not on the PATH."""

from ridurre.cli import app

app()
