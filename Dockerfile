# All of Meterstream's processes in one image; the command says which: api, worker metering, worker warehouse, migrate.
# Packages come from the hashed lock, without the embedded engines. It runs as a user without rights.

FROM python:3.11-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/meterstream
ENV PATH=/opt/meterstream/bin:$PATH
WORKDIR /src
COPY requirements.production.lock ./
RUN pip install --require-hashes -r requirements.production.lock
COPY . ./
# The lock holds the build backend too: nothing is fetched here.
RUN pip install --no-deps --no-build-isolation --no-index .

FROM python:3.11-slim-trixie
# The state directory holds the first-seen index: a cache, but keep it on a volume, or each start reads the log again.
RUN useradd --system --uid 10001 --user-group --no-create-home meterstream \
    && install --directory --owner meterstream --group meterstream /var/lib/meterstream
COPY --from=build /opt/meterstream /opt/meterstream
ENV PATH=/opt/meterstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    METERSTREAM_STATE_DIR=/var/lib/meterstream
USER meterstream
WORKDIR /var/lib/meterstream
ENTRYPOINT ["meterstream"]
CMD ["--help"]
