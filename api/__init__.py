"""The HTTP API: FastAPI over the job and artifact stores."""
