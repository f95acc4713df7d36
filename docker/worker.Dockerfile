# One worker. EXTRA chooses TensorFlow: cpu, or gpu with NVIDIA's libraries.
FROM python:3.11.14-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ridurre \
    && install --directory --owner=ridurre --mode=700 /data

WORKDIR /app
ARG EXTRA=cpu
COPY requirements requirements
RUN pip install --no-cache-dir --require-hashes -r requirements/worker-${EXTRA}.lock
COPY pyproject.toml README.md LICENSE ./
COPY pruning pruning
COPY jobs jobs
COPY worker worker
# Installed, not only copied: a job's child starts without the working directory on its path, and reports name the version.
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

USER ridurre
ENV RIDURRE_DATA_DIRECTORY=/data
CMD ["python", "-m", "celery", "--app", "worker.app", "--quiet", "worker", "--pool", "threads", "--concurrency", "1", \
    "--queues", "ridurre", "--loglevel", "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"]
