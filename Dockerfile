# Both commands in one image: /worker, and /ferry for operators.
#   docker build --tag orderferry .
FROM golang:1.26.8 AS build
WORKDIR /src
# The module alone: the workspace's other one (standalone) is for one machine.
ENV CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -trimpath -ldflags="-s -w" -o /out/ferry ./starter \
 && go build -trimpath -ldflags="-s -w" -o /out/worker ./worker \
 && mkdir -p /out/etc/orderferry /out/srv/orderferry \
 && printf 'ferry:x:65532:65532::/:/sbin/nologin\n' > /out/etc/passwd \
 && printf 'ferry:x:65532:\n' > /out/etc/group

# One applet, for health checks: Busybox obeys the name it is called by.
FROM busybox:1.37.0-musl AS health

# Time zones come with the commands; nothing else is needed from a system.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=health /bin/busybox /bin/wget
COPY --from=build /out/etc/passwd /out/etc/group /etc/
# Volumes that are mounted here belong to the user from the start.
COPY --from=build --chown=65532:65532 /out/etc/orderferry /etc/orderferry
COPY --from=build --chown=65532:65532 /out/srv/orderferry /srv/orderferry
COPY --from=build /out/ferry /out/worker /
USER 65532:65532
ENV ORDERFERRY_KEY_FILE=/etc/orderferry/key.json
CMD ["/worker"]
