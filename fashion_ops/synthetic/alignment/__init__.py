"""Synthetic alignment data: the wardrobe's garments in the formats of FLD, DeepFashion and LSP.

- ``poses``     figures and frames for FLD's five variations, and for whole people;
- ``points``    the wardrobe's landmarks as FLD's, a figure's joints as LSP's;
- ``traits``    a garment's cut and cloth as attributes;
- ``photos``    one image with all of its labels;
- ``files``     rows of DeepFashion's lists; ``datasets`` the layout of each data set;
- ``generate``  all data sets, on several processes.
"""
