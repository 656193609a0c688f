"""The papers, one folder a method; ``parts`` holds what several of them share.

Every folder uses the same file names: ``model`` (the network), ``targets`` (what it is trained
towards), ``loss``, ``decode`` (network output to landmarks), ``module`` (the Lightning module) and
``inference`` (a trained model folder as an object that predicts). Nothing here knows where data lies
or who calls.
"""
