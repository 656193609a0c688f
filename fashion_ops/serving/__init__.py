"""The service: garments of photos and their sizes over HTTP, by the registry's champion.

``app`` is the FastAPI application, which ``fashion-ops serve`` runs. ``requests`` reads photos within
``limits``, ``batching`` runs what waits together, ``champion`` follows the registry. MLflow is used
through ``fashion_ops.registry`` alone.
"""
