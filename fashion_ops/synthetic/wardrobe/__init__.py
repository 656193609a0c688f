"""The synthetic wardrobe: drawn people in drawn clothes, labelled exactly as DeepFashion2 is.

The modules in the order in which an image is made:

- ``plan``      which garments an image shows (shares of categories, shop/user pairs);
- ``style``     the cut of one garment; ``fabric`` its cloth;
- ``body``      a posed figure: yaw, sway, arms and legs;
- ``garment``   parts and landmarks of a garment; ``tops``, ``outwear`` and ``bottoms`` sew the 13
  categories onto a figure (a dress is a long top) with ``sleeves`` and ``trim``;
- ``canvas``    painting in layers, with a buffer of the topmost layer, by ``brush``;
- ``look``      strengths of outlines, shading, folds and seams; ``textures`` creases and noise;
- ``people``, ``head``, ``props`` and ``scene`` paint skin, hair, bags and occluders, rooms and light;
- ``render``    one image from all of these; ``labels`` its annotation;
- ``second``    the second edition, which looks like photographs; ``photos`` the user's own;
- ``generate``  the whole data set in either edition, on several processes.

``fashion-ops contact-sheet`` draws a page of examples.

Lengths are in *heads* (the height of the figure's head; a figure is seven heads tall), y down, and
become pixels only in ``canvas``. "Left" is the garment's left, as in ``fashion_ops.taxonomy``.
"""
