# syntax=docker/dockerfile:1

# The builder runs where the build runs and compiles for where the image runs.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src

COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download

COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=unknown
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -tags grpcnotrace -trimpath -buildvcs=false -ldflags "-s -w -X main.linkedVersion=$VERSION -X main.linkedRevision=$REVISION" \
    -o /out/wicketgate ./cmd/wicketgate

# CA bundle, time zones, a passwd file with nonroot; no shell and no package manager.
FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=dev
ARG REVISION=unknown
# Of the commit rather than of the build, so that one commit makes one image.
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="wicketgate" \
      org.opencontainers.image.description="OAuth 2.0 resource-server validation proxy" \
      org.opencontainers.image.vendor="wicketgate" \
      org.opencontainers.image.url="https://github.com/wicketgate/wicketgate" \
      org.opencontainers.image.source="https://github.com/wicketgate/wicketgate" \
      org.opencontainers.image.documentation="https://github.com/wicketgate/wicketgate/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="gcr.io/distroless/static-debian12:nonroot" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build /out/wicketgate /wicketgate
USER 65532:65532
EXPOSE 8420 8421
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/wicketgate", "healthcheck"]
ENTRYPOINT ["/wicketgate"]
CMD ["serve", "--config", "/etc/wicketgate/config.yaml"]
