"""Labels in the formats of labelling tools: read into batches, written from the catalog or a model.

One file a format, each with ``read``, ``write`` and ``LOST``, what the format has no place for. They
share one form, ``photos.AnnotatedPhoto``, which holds ``Labels`` as the sources of ``ingest`` do.
``batch`` writes a batch in DeepFashion2's layout; ``sources`` reads what is exported.
"""
