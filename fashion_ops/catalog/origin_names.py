"""The names that tell where an image came from: the folder of its batch, the manifest of the wardrobe.

Steps that only ask for these do not depend on the code that reads data sets.
"""

import re

WARDROBE = "wardrobe.json"  # in the folder of a data set that the wardrobe drew
BATCHES = "batches"  # the folder of all accepted batches
BATCH = re.compile(r"\d{4,}-[\w.-]+")  # a batch's folder
_FILE = re.compile(rf"{BATCHES}/({BATCH.pattern})/")


def batch_of(file_name: str) -> str:
    """Name of the batch of an image of the catalog; "" for images of ``ingest.root``."""
    match = _FILE.match(file_name)
    return match.group(1) if match else ""
