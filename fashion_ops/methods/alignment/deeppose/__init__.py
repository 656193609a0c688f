"""DeepPose (Toshev and Szegedy, CVPR 2014) as the DFA paper runs it: 1 + N + N VGGs.

Stage 1 is DFA's first network without pseudo-labels. In stages 2 and 3 each landmark has its own
network, which sees a 120 x 120 patch of the 224-px crop around the current estimate and corrects it.
"""
