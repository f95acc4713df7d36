# The API: it hands out jobs and files and never opens a model, so TensorFlow and Keras are not in here.
FROM python:3.11.14-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin ridurre \
    && install --directory --owner=ridurre --mode=700 /data

WORKDIR /app
COPY requirements/api.lock requirements.lock
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pruning pruning
COPY jobs jobs
COPY api api

USER ridurre
ENV RIDURRE_DATA_DIRECTORY=/data
EXPOSE 8470
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8470/readyz', timeout=4)"]
CMD ["python", "-m", "uvicorn", "api.app:app", "--timeout-graceful-shutdown", "5", "--host", "0.0.0.0", "--port", "8470"]
