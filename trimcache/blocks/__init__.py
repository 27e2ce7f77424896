"""Blocks: how a file is cut (``tiling``), how bytes are named (``digests``), and the engine that does both in one pass
(``engine``), for large local files in processes that may map them (``mapped``)."""
