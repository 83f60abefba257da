# syntax=docker/dockerfile:1
# One image for every service: which one a container is, its command says.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches live outside of the image, so the program is copied out of the target folder.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin kopeck \
    && cp target/release/kopeck /usr/local/bin/kopeck

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/kopeck --create-home kopeck
COPY --from=build /usr/local/bin/kopeck /usr/local/bin/kopeck
USER 10001
WORKDIR /var/lib/kopeck
ENV KOPECK_LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["kopeck"]
CMD ["run"]
