"""A catalog on disk: a folder of Parquet files that many workers write at once and any reader opens without trimcache.

``schema`` defines the tables, ``writer`` publishes shards, ``reader`` opens them, ``compaction`` merges them, ``models`` completes
adapters with their bases, ``queries`` answers questions about sizes. The format is described in ``docs/formats.md``.
"""
