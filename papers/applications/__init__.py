"""DFA's applications (section 4.4): attributes and retrieval from features of four localisations.

``localisations`` predicts joints and landmarks and extracts the features, ``presence`` predicts which
landmarks a garment shows, ``seeds`` averages. ``attributes``, ``retrieval`` and ``figure7`` (both) are
the tables.
"""

TABLES = ("attributes", "retrieval")
