"""Which identities were seen, where and when: the on-disk first-seen index, one directory a partition."""

from sinks.first_seen.entries import Seen
from sinks.first_seen.index import FirstSeenIndex

__all__ = ["FirstSeenIndex", "Seen"]
