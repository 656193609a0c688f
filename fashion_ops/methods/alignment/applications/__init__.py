"""What landmarks are good for (DFA, section 4.4): predicting attributes and finding the same item.

Both work on a convolutional network's features, pooled where a localisation says that the garment is:
the whole image, its box, around human joints, around its landmarks.
"""
