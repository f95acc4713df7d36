"""Celery worker: claims a job and runs it in a supervised child process."""
