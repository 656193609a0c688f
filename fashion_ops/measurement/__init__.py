"""Sizes of garments in centimetres, from landmarks and a reference of known size in the photo.

- ``points``  which landmarks give which size (``points_of_measure.csv``);
- ``sheet``   the printed sheet with ArUco markers, and its detection in a photo;
- ``scale``   from pixels to the plane on which the garment lies;
- ``sizes``   lengths with 95 % intervals.
"""
