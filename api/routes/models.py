"""Models: upload, list, look at, delete."""

from __future__ import annotations

from api.inputs import input_routes
from jobs.inspection import inspect_model
from jobs.record import ModelRecord

router = input_routes(ModelRecord, inspect_model, accepted="a `.keras` file or an `.h5` file")
