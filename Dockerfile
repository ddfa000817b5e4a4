FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The data folder is made here: the last stage has no shell to make it with.
RUN make build && mkdir /var/lib/chronik

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /src/bin/ /usr/local/bin/
COPY --from=build --chown=nonroot:nonroot /var/lib/chronik /var/lib/chronik
ENV CHRONIK_DATA_DIR=/var/lib/chronik
VOLUME /var/lib/chronik
EXPOSE 9092 6092 9192 7946/tcp 7946/udp
ENTRYPOINT ["/usr/local/bin/chronik-server"]
CMD ["standalone"]
