"""The wardrobe, photographed anew and written in the formats of alignment data.

- ``poses``    figures and frames for FLD's five variations, and for whole people;
- ``points``   the wardrobe's landmarks as FLD's, a figure's joints as LSP's;
- ``traits``   a garment's cut and cloth as attributes;
- ``photos``   one image with all of that; ``files`` the lists; ``datasets`` each data set's layout;
- ``generate`` all of them, on several processes.
"""
