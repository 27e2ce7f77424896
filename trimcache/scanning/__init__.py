"""Scanning: from sources to the records that a catalog stores.

    sources --resolve--> PartSpec --task--> part.scan_part --PartRecord--> catalog

``run`` plans the tasks and publishes their records, ``part`` scans one part, ``headers`` reads its tensors without their bytes,
``inspection`` shows them, ``verify`` compares a catalog with the files it describes.
"""
