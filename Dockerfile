# syntax=docker/dockerfile:1

# The build runs on the builder's own platform and cross-compiles; no emulation is needed.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/ . ./internal/policyserver/mta-sts-server

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="mta-sts-operator" \
      org.opencontainers.image.description="Publishes MTA-STS and TLS-RPT for mail domains from Kubernetes" \
      org.opencontainers.image.source="https://github.com/mta-sts-operator/mta-sts-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
# Whom senders trust: policies are fetched as they do. A released image has Mozilla's list from a pinned module.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mta-sts-operator /mta-sts-operator
# What `mta-sts-operator serve` becomes where it is at hand.
COPY --from=build /out/mta-sts-server /mta-sts-server
# By number: the kubelet can prove runAsNonRoot only for a numeric user.
USER 65532:65532
ENTRYPOINT ["/mta-sts-operator"]
