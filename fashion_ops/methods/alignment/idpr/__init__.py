"""IDPR (Chen and Yuille, NIPS 2014) on a VGG backbone: our reading, as the DFA paper gives no details.

A fully convolutional network predicts where each landmark is and, at each place, the type of the
relation to each of its neighbours: the image-dependent pairwise relations. A tree over the landmarks
combines both; max-sum finds its best configuration exactly. Our choices: the appearance term is a
softmax over places; types of relations are k-means clusters of relative positions; their spread stands
in for the deformation weights of the structural SVM; one weight between both terms is selected on the
training garments.

- ``relations``  types of relations and the trees that they form;
- ``model``      the network;
- ``loss``       its losses;
- ``module``     training of one network;
- ``inference``  a trained model and max-sum over a tree;
- ``training``   training, with DFA's pseudo-labels and routing on top (Table 4 of the DFA paper).
"""
