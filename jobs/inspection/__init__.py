"""What is checked of an upload before it is accepted: standard library only, nothing of the content is run.

HDF5 is never opened here: its library is not safe against hostile files, so only the job's child does that.
"""

from jobs.inspection.dataset import DatasetInspection, inspect_dataset
from jobs.inspection.model import ModelInspection, inspect_model

__all__ = ["DatasetInspection", "ModelInspection", "inspect_dataset", "inspect_model"]
