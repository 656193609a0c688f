"""DFA, Deep Fashion Alignment (Liu et al., ECCV 2016): a cascade of three stages of whole-garment CNNs.

- ``model``      the network of a stage;
- ``targets``    the pseudo-labels of the three spaces (eq. 1, Table 1);
- ``loss``       the losses of eq. 3;
- ``routing``    easy and hard garments (eq. 2);
- ``module``     training of one network;
- ``training``   training of one stage;
- ``warm_start`` the start of a stage from another cascade's weights;
- ``estimates``  the file of a stage's predictions;
- ``inference``  a trained stage: predicting, saving, loading;
- ``cascade``    all trained stages, for the boxes that a detector finds.

The step ``dfa_stage`` runs the three stages one after the other.
"""
