"""Long jobs in batches: results in parts, so that a killed job goes on, and what is seen of it.

results = in_batches(compute, num=50_000, batch_size=64, parts=Parts(folder, protocol),
                     progress=Progress())
"""

from scoresde.jobs.agreement import agreed, by_first, together
from scoresde.jobs.alike import check_alike, check_shared
from scoresde.jobs.batches import Fetch, in_batches, to_host
from scoresde.jobs.parts import Parts
from scoresde.jobs.picture import picture
from scoresde.jobs.progress import Progress
from scoresde.jobs.report import Report, Tell, silent
from scoresde.jobs.results import holds_anything, open_parts, result_directory
from scoresde.jobs.say import say
from scoresde.jobs.sizes import human_size

__all__ = [
    "Fetch",
    "Parts",
    "Progress",
    "Report",
    "Tell",
    "agreed",
    "by_first",
    "check_alike",
    "check_shared",
    "holds_anything",
    "human_size",
    "in_batches",
    "open_parts",
    "picture",
    "result_directory",
    "say",
    "silent",
    "together",
    "to_host",
]
