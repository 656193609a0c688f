"""Independent jobs as Ray tasks, on this machine or on a Ray cluster.

``fan_out`` runs the jobs and ``worker`` is one task; ``cluster`` joins or starts Ray; ``job_store``
serves the workers beside the driver; ``display`` shows progress. ``schedule`` plans, ``timesheet``
records and ``gantt`` draws when each job runs. ``by_category`` runs a step for the 13 categories.
``map_blocks`` maps blocks of work by a pool of actors, which take them from ``feed``.
"""
