"""DeepPose (Toshev and Szegedy, CVPR 2014) as the DFA paper runs it: 1 + N + N VGGs, part by part.

Stage 1 is DFA's own first network without pseudo-labels. In stages 2 and 3 each landmark has a network
that sees a 120 x 120 patch of the 224-px crop around the current estimate, and corrects that estimate.
``model`` is the patches and the N networks of a stage, ``training`` how they learn and predict.
"""
