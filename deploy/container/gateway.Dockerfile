# The gateway: docker build -f deploy/container/gateway.Dockerfile -t whisperlivekit-gateway .
FROM python:3.11-slim
WORKDIR /srv

COPY requirements/gateway.lock ./
RUN pip install --no-cache-dir --require-hashes --no-deps -r gateway.lock \
 && useradd --system --uid 10001 --no-create-home whisperlivekit \
 && install -d -o whisperlivekit -m 0700 /run/whisperlivekit

COPY shared/*.py shared/
COPY gateway gateway

ENV HOST=0.0.0.0 \
    PORT=8000 \
    RUN_DIR=/run/whisperlivekit \
    LOG_FORMAT=json \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER whisperlivekit
EXPOSE 8000
# 503, no worker serves, is unhealthy too.
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]
CMD ["python", "-m", "gateway"]
