"""The methods of the papers, one folder each; ``parts`` holds what several of them share.

Every folder uses the same file names: ``model`` (the network), ``targets`` (landmarks to training
targets), ``loss``, ``data`` (training samples), ``module`` (the Lightning module), ``training`` (data
to a model folder), ``inference`` (a model folder to predictions) and ``decode`` (network output to
landmarks). A file is missing where ``parts`` has what it would hold: training samples in ``regions``,
heatmap targets and decoders in ``heatmaps``. Nothing here knows where data lies or who calls.
"""
