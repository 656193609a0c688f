"""Sizes of garments in centimetres, from landmarks and a reference of known size in the photo.

- ``points``       which landmarks give which size (``points_of_measure.csv``);
- ``sheet``        the printed sheet with ArUco markers, and its detection in a photo;
- ``quads``        rectangles in a photo; ``flat_things`` bare paper and cards among them;
- ``scale``        references and the lens; ``plane`` the plane on which the garment lies;
- ``sizes``        lengths with 95 % intervals;
- ``references``   how the scale of a photo is found, as a user says it;
- ``size_chart``   the sizes of a style from several photos.
"""
