# A GPU worker: docker build -f deploy/container/worker.Dockerfile -t whisperlivekit-worker .
# torch brings its CUDA libraries, the host its driver (NVIDIA Container Toolkit). Without GPUs: --build-arg TORCH=cpu
FROM python:3.11-slim
ARG TORCH=cuda
WORKDIR /srv

COPY requirements/build.lock requirements/runtime.lock requirements/torch.lock ./
# As scripts/setup does it: openai-whisper is built with the locked setuptools, and a CPU's torch goes by its version.
RUN pip install --no-cache-dir --require-hashes --no-deps -r build.lock \
 && pip install --no-cache-dir --require-hashes --no-deps --no-build-isolation -r runtime.lock
RUN case "$TORCH" in \
    cuda) pip install --no-cache-dir --require-hashes --no-deps -r torch.lock ;; \
    cpu) pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu \
        "$(grep -o '^torch==[^ ]*' torch.lock)" ;; \
    *) echo "TORCH is cuda or cpu" >&2; exit 1 ;; \
    esac
RUN useradd --system --uid 10001 --no-create-home whisperlivekit \
 && install -d -o whisperlivekit -m 0700 /run/whisperlivekit /var/cache/whisperlivekit

COPY shared shared
COPY gpu_worker gpu_worker
COPY scripts/fetch_model scripts/_run.py scripts/
COPY scripts/ops/fetch_model.py scripts/ops/fetch_model.py

ENV RUN_DIR=/run/whisperlivekit \
    MODEL_CACHE_DIR=/var/cache/whisperlivekit \
    LOG_FORMAT=json \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER whisperlivekit
CMD ["python", "-m", "gpu_worker"]
