"""The fleet: independent jobs as Ray tasks, and the schedule they make.

``fan_out`` drives, ``cluster`` joins or starts Ray, ``worker`` is one task, ``depot`` serves workers
beside the driver, ``board`` shows progress; ``schedule``, ``timesheet``, ``gantt`` plan, keep and draw.
"""
