# One build, a small image for each process: docker build --target gateway .
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ENV CGO_ENABLED=0
RUN go build -trimpath -ldflags="-s -w" -o /out/ ./cmd/gateway ./cmd/worker ./cmd/yunshu ./test/vcenter/vcsim

FROM gcr.io/distroless/static-debian12:nonroot AS base

FROM base AS gateway
COPY --from=build /out/gateway /yunshu-gateway
ENV YUNSHU_LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["/yunshu-gateway"]
CMD ["serve"]

FROM base AS worker
COPY --from=build /out/worker /yunshu-worker
ENTRYPOINT ["/yunshu-worker"]
CMD ["run", "--config", "/etc/yunshu/worker.yaml"]

# A worker for regions with BMCs that speak only IPMI.
FROM debian:bookworm-slim AS worker-ipmi
RUN apt-get update && apt-get install -y --no-install-recommends ipmitool ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/worker /yunshu-worker
USER nobody
ENTRYPOINT ["/yunshu-worker"]
CMD ["run", "--config", "/etc/yunshu/worker.yaml"]

FROM base AS cli
COPY --from=build /out/yunshu /yunshu
ENTRYPOINT ["/yunshu"]

FROM base AS vcsim
COPY --from=build /out/vcsim /yunshu-vcsim
ENTRYPOINT ["/yunshu-vcsim"]
