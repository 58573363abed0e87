# A model served on a CPU. Mount a model folder:
#   docker build -t emohop .
#   docker run --rm -p 8000:8000 -e EMOHOP_TOKEN=… -v ./run/fold-0/seed-0/model:/model:ro emohop
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
# With --build-arg TORCH_INDEX=URL torch comes from PyTorch's own index of CPU builds; the build on
# the general index brings gigabytes of CUDA along.
ARG TORCH_INDEX=
RUN python -m venv /opt/emohop \
 && /opt/emohop/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
 && /opt/emohop/bin/pip install --no-cache-dir '.[serve,speech,encoders]'

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home emohop
COPY --from=build /opt/emohop /opt/emohop
ENV OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 MPLCONFIGDIR=/tmp
USER emohop
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["/opt/emohop/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
ENTRYPOINT ["/opt/emohop/bin/emohop", "serve"]
CMD ["/model", "--host", "0.0.0.0"]
