"""What one can say to the service, request by request; see docs/http-api.md.

    uploads      upload_model, upload_dataset, dataset
    jobs         submit, job, jobs, cancel, delete
    following    wait, events
    results      artifacts, download, download_candidate, download_candidates, report
    pruning      prune: all of it in one

Each function is a method of `Client` and of `AsyncClient`, which take its arguments and its docstring from here.
"""

from ridurre.conversations.following import events, wait
from ridurre.conversations.jobs import cancel, delete, job, jobs, submit
from ridurre.conversations.pruning import prune
from ridurre.conversations.results import artifacts, download, download_candidate, download_candidates, report
from ridurre.conversations.uploads import dataset, upload_dataset, upload_model

__all__ = [
    "artifacts", "cancel", "dataset", "delete", "download", "download_candidate", "download_candidates", "events",
    "job", "jobs", "prune", "report", "submit", "upload_dataset", "upload_model", "wait",
]  # fmt: skip
