"""The command line's commands, a file a subject; ``fashion_ops.cli`` puts them together.

Heavy imports wait until a command needs them.
"""
