"""DFA's applications (section 4.4): what features are worth by where they are taken from.

``localisations`` finds joints and landmarks and takes the features; a table each for attributes and
retrieval, ``run(request) -> Table``.
"""

TABLES = ("attributes", "retrieval")
