"""Today's landmarkers, which no paper of fashion landmarks has compared: HRNet and ViT, three heads.

Table ``networks`` trains every backbone with every head (``heatmap``, ``simcc``, ``rle``) for equal
time. Figure ``reliability`` says what scores and standard deviations of the same networks are worth.
``runs`` trains each network once and keeps it.
"""

TABLES = ("networks",)
FIGURES = ("reliability",)
