"""The synthetic wardrobe: drawn people in drawn clothes, labelled exactly as DeepFashion2 is.

How an image comes about, module by module:

- ``plan``      which garments stand in image number i (shares, shop/user pairs);
- ``style``     the cut and the fabric of one garment; ``fabric`` weaves the cloth;
- ``body``      a posed figure: yaw, sway, arms, legs, and the frame of the image;
- ``garment``   what a garment is (parts and landmarks); ``tops``, ``outwear`` and ``bottoms`` sew
  the 13 categories onto a figure (a dress is a top that goes on);
- ``canvas``    painting in layers with a buffer of who is on top; ``people``, ``props`` and
  ``scene`` paint skin and hair, bags and occluders, rooms and light;
- ``render``    one image from all of that; ``labels`` its annotation, visibility read off the buffer;
- ``generate``  the whole data set on several processes; ``contact_sheet`` a page to look at.

Lengths are in *heads* (the height of the figure's head; a figure is seven heads tall), y down, and
become pixels only in ``canvas``. "Left" is the garment's left, as in ``fashion_ops.taxonomy``.
"""
