"""Weight-file formats, one module each: bytes in, tensors out.

Nothing here knows where bytes come from or what happens to the tensors. The modules are found through the entry-point group
``trimcache.extractors`` and import only ``trimcache.bytesource``, ``trimcache.tensors``, ``trimcache.dtypes`` and ``trimcache.errors``.
"""
