"""``python -m papers``: the command line of the papers' tables and figures."""

from papers.command import app

app(prog_name="python -m papers")
