"""Prediction for a whole shop: millions of photos in, a Parquet table out, block by block.

``listing`` finds the photos, ``manifest`` fixes them at the start, ``reading`` fetches their bytes,
``blocks`` predicts a block of them, and ``results`` keeps the table's part files. None of them knows
where blocks are computed.
"""
