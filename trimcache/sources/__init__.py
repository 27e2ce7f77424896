"""Where models are: resolving what a user names into parts, without reading a weight.

``resolve`` turns sources into :class:`~trimcache.sources.parts.PartSpec`; ``folders`` walks them; ``weights`` decides which of several
copies of the same weights a folder is represented by.
"""
