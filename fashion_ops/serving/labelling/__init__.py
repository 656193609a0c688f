"""The page on which people correct what the champion finds: its files, drafts, queue and batches.

``routes`` has the endpoints, ``drafts`` keeps each photo with its labels until it is saved, ``batches``
writes labelled batches into the inbox, ``queue`` says what to label first.
"""
