"""IDPR (Chen and Yuille, NIPS 2014) with a VGG trunk: our reading, the DFA paper does not say how.

A fully convolutional network tells where each landmark is and, at each place, of which type the
relation to each of its neighbours is: the image-dependent pairwise relations. A tree over the landmarks
joins both; its best configuration is found exactly by max-sum. What is ours: the appearance term is a
softmax over places, relations' types are k-means clusters of relative positions, their spread takes the
place of the structural SVM's deformation weights, and one weight between both terms is chosen on the
training garments. ``model``: the network; ``relations``: types; ``tree``: max-sum; ``training``: the
rest, with DFA's pseudo-labels and routing on top (the paper's Table 4).
"""
