"""The wardrobe's second edition: the same garments, framed, lit and cluttered as photographs are.

- ``plan``         which garments an image shows and how: worn, laid out, on a hanger, or none;
- ``cuts``         looser cuts, closed jackets, random colours, cloth from the user's photos;
- ``poses``        walking and sitting figures, more arms, sleeves that lie or hang;
- ``camera``       the picture's shape, its frame, tilt, perspective, and how cloth is rumpled;
- ``clutter``      dead leaves, 1/f noise, planks, carpets, sheets, patches of other pictures;
- ``backgrounds``  one of these, a room, a street or a photo of the user's, for each kind of image;
- ``objects``      hats, shoes, bags, hangers and others: behind, in front, or alone in a negative;
- ``defects``      exposure, white balance, blur, noise and JPEG of cheap cameras;
- ``render``       one image from all of these.
"""
