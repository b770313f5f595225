# One Allmende participant. Needs a user namespace for its sandbox: see docs/installation.md.

FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements-postgres.txt requirements-build.txt ./
RUN python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r requirements-build.txt \
 && python -m venv /opt/allmende \
 && /opt/allmende/bin/python -m pip install --no-cache-dir --require-hashes -r requirements-postgres.txt
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY policies policies
COPY catalog catalog
COPY connector connector
COPY examples examples
RUN /opt/build/bin/python -m pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && /opt/allmende/bin/python -m pip install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM python:3.13-slim
RUN groupadd --gid 10001 allmende \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin allmende \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /opt/allmende /opt/allmende
ENV PATH=/opt/allmende/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ALLMENDE_PUBLIC__HOST=0.0.0.0 \
    ALLMENDE_MANAGEMENT__HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('ALLMENDE_MANAGEMENT__PORT', '8081') + '/healthz', timeout=2)"]
ENTRYPOINT ["allmende"]
CMD ["serve", "--config", "/data/allmende.toml"]
