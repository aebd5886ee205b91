"""The published experiments: a file each, whose `get_config()` returns it.

`scoresde configs` lists them. Every one starts from `default`, and is put together of what
`processes`, `networks` and `datasets` have; a config of one's own can be, too.
"""
