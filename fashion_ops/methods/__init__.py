"""The methods of the papers, one folder each.

``centernet`` predicts boxes and landmarks, ``detection`` boxes, ``top_down`` landmarks in given boxes,
and ``posefix`` refines landmarks. ``alignment`` holds four methods for the few landmarks of Fashion
Alignment: ``dfa``, ``deeppose``, ``idpr`` and ``gle``. ``parts`` is what several methods share. Beside
the folders, ``artifact`` saves and loads models, ``pickles`` refuses unsafe ones, and ``describe`` and
``costs`` count parameters and operations.

Every folder of a method uses the same file names:

- ``model``      the network;
- ``targets``    labels to training targets;
- ``loss``       the losses;
- ``data``       training samples;
- ``module``     the training step, a Lightning module;
- ``training``   data to a trained model, which most methods write into a model folder;
- ``decode``     network output to landmarks;
- ``inference``  a trained model to predictions.

Each has ``model``, ``module``, ``training`` and ``inference``. Other files are missing where a method
needs none of its own:

- ``targets``    ``top_down`` and ``posefix`` use ``parts.heatmaps``, ``idpr`` its own ``relations``;
                 ``deeppose`` regresses the labels themselves;
- ``loss``       ``gle`` uses that of ``top_down``, ``deeppose`` that of ``dfa``;
- ``data``       ``top_down`` and ``gle`` use ``parts.regions``, the other methods of ``alignment``
                 use ``alignment.data``;
- ``decode``     ``posefix`` and ``gle`` use ``parts.heatmaps``, ``idpr`` decodes in ``inference``,
                 ``detection`` selects boxes in ``cascade``; ``dfa`` and ``deeppose`` regress positions.

Files with other names hold what one method alone has; the docstring of its folder names them. The
caller gives all data and folders.
"""
