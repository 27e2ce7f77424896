"""A catalog on disk: a folder of Parquet files that many workers write at once and any reader opens without trimcache.

``schema`` defines the tables, ``writer`` publishes shards (``publisher``: from a process of its own), ``reader`` opens them,
``compaction`` merges them, ``models`` completes adapters with their bases. The format is described in ``docs/formats.md``.
"""
