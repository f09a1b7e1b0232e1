# One image for every part: `aurea api` (the default), `aurea worker`, `aurea scheduler`, `aurea cron NAME`,
# `aurea migrate`. It holds no servers and no secrets: set DATABASE_URL, REDIS_URL and AUREA_API_TOKEN.
FROM python:3.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/aurea
WORKDIR /src
COPY requirements.prod.lock ./
RUN /opt/aurea/bin/pip install --require-hashes --only-binary :all: -r requirements.prod.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY orchestrator orchestrator
COPY handlers handlers
COPY cron cron
COPY migrations migrations
RUN /opt/aurea/bin/pip install --no-deps . && /opt/aurea/bin/python -m compileall -q /opt/aurea

FROM python:3.13-slim-bookworm
# Handlers' TLS asks the system for its trusted authorities.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /srv --shell /usr/sbin/nologin aurea
COPY --from=build /opt/aurea /opt/aurea
ENV PATH=/opt/aurea/bin:$PATH ENV=production HOST=0.0.0.0 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
USER aurea
EXPOSE 8000
CMD ["aurea", "api"]
