"""Datasets: upload, list, look at, delete."""

from __future__ import annotations

from api.inputs import input_routes
from jobs.inspection import inspect_dataset
from jobs.record import DatasetRecord

router = input_routes(
    DatasetRecord, inspect_dataset, accepted="an `.npz` file, or a zip of images with class folders, masks or a CSV"
)
